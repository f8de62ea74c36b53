//go:build integration

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/s3suite"
)

// readOnly is a policy under which nothing can be written.
const readOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::images","arn:aws:s3:::images/*"]}]}`

// ill is a deployment with one fault, and what doctor says of it.
type ill struct {
	name   string
	config map[string]string // settings of the driver that are not those of a healthy one
	proxy  func(*httputil.ReverseProxy)
	step   string // the step that finds it
	status status
	detail string // in what was found
	fix    string // in what to do
}

// dropAnswer is a proxy that drops a header of answers.
func dropAnswer(header string) func(*httputil.ReverseProxy) {
	return func(p *httputil.ReverseProxy) {
		p.ModifyResponse = func(r *http.Response) error {
			r.Header.Del(header)
			return nil
		}
	}
}

// dropRequest is a proxy that drops a header of requests.
func dropRequest(header string) func(*httputil.ReverseProxy) {
	return func(p *httputil.ReverseProxy) {
		rewrite := p.Rewrite
		p.Rewrite = func(r *httputil.ProxyRequest) {
			rewrite(r)
			r.Out.Header.Del(header)
		}
	}
}

// skewed is a proxy whose answers come from another time.
func skewed(by time.Duration) func(*httputil.ReverseProxy) {
	return func(p *httputil.ReverseProxy) {
		p.ModifyResponse = func(r *http.Response) error {
			r.Header.Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
			return nil
		}
	}
}

// TestDoctor has a healthy deployment, and then one fault after another.
func TestDoctor(t *testing.T) {
	certs := miniotest.Certificates(t)
	plain, secure := miniotest.Start(t), miniotest.StartTLS(t, certs)
	for _, driver := range []string{"s3", "minio"} {
		d := sick{t: t, driver: driver, server: plain}
		healthy := d.examine(nil, plain.URL)
		for _, f := range healthy.Findings {
			if f.Status == failed || f.Status == warned && f.Name != "redirect" && f.Name != "uploads" {
				t.Errorf("%s: a healthy one: %+v", driver, f)
			}
		}
		reader := s3suite.Assume(t, plain, readOnly)
		for _, test := range []ill{
			{name: "wrong key", config: map[string]string{"access_key": "nobody"}, step: "open", status: failed, detail: "access_key: ", fix: "access_key"},
			{name: "wrong secret", config: map[string]string{"secret_key": "wrong-wrong"}, step: "open", status: failed, detail: "secret_key: ", fix: "secret_key"},
			{name: "missing bucket", config: map[string]string{"bucket": "missing", "create_bucket": "false"}, step: "open", status: failed, detail: "bucket: there is no bucket", fix: "bucket"},
			{name: "https for http", config: map[string]string{"endpoint": strings.Replace(plain.URL, "http", "https", 1)}, step: "certificate", status: failed, detail: "speaks plain HTTP", fix: "begin with http://"},
			{name: "http for https", config: map[string]string{"endpoint": strings.Replace(secure.URL, "https", "http", 1)}, step: "answer", status: failed, detail: "speaks TLS", fix: "begin with https://"},
			{name: "unknown authority", config: map[string]string{"endpoint": secure.URL}, step: "certificate", status: failed, detail: "does not trust", fix: "ca_file"},
			{name: "read-only rights", config: map[string]string{"access_key": reader.AccessKey, "secret_key": reader.SecretKey, "session_token": reader.SessionToken}, step: "create", status: failed, detail: "s3:PutObject", fix: "let the credentials write objects"},
			{name: "clock an hour ahead", proxy: skewed(time.Hour), step: "date", status: failed, detail: "ahead of", fix: "NTP"},
			{name: "clock two minutes behind", proxy: skewed(-2 * time.Minute), step: "date", status: warned, detail: "behind", fix: "NTP"},
			{name: "Content-Range dropped", proxy: dropAnswer("Content-Range"), step: "read", status: failed, detail: "Content-Range", fix: "drops the header Range or Content-Range"},
			{name: "Range dropped", proxy: dropRequest("Range"), step: "read", status: failed, detail: "not signed", fix: "drops the header Range"},
			{name: "If-None-Match dropped", proxy: dropRequest("If-None-Match"), step: "put-if-absent", status: failed, detail: "not signed", fix: "drops the header If-None-Match"},
			{name: "If-Match dropped", proxy: dropRequest("If-Match"), step: "put-if-match", status: failed, detail: "not signed", fix: "drops the header If-Match"},
			{name: "ETag dropped", proxy: dropAnswer("Etag"), step: "read", status: failed, detail: "ETag", fix: "ETag"},
			{name: "Authorization dropped", proxy: dropRequest("Authorization"), step: "open", status: failed, detail: "access_key: ", fix: "access_key"},
		} {
			t.Run(driver+"/"+test.name, func(t *testing.T) {
				d := sick{t: t, driver: driver, server: plain}
				endpoint := plain.URL
				if test.proxy != nil {
					endpoint = proxied(t, plain.URL, test.proxy)
				}
				r := d.examine(test.config, endpoint)
				for _, f := range r.Findings {
					if f.Name != test.step {
						continue
					}
					if f.Status != test.status || !strings.Contains(f.Detail, test.detail) || !strings.Contains(f.Fix, test.fix) {
						t.Errorf("%+v, want %s %q, %q", f, test.status, test.detail, test.fix)
					}
					return
				}
				t.Errorf("no step %s in %+v", test.step, r.Findings)
			})
		}
	}
	// With the authority all is well.
	d := sick{t: t, driver: "s3", server: secure}
	r := d.examine(map[string]string{"ca_file": filepath.Join(certs, "public.crt")}, secure.URL)
	if !r.OK {
		t.Errorf("with ca_file: %+v", r)
	}
}

// TestDoctorRegion has a store that knows its region.
func TestDoctorRegion(t *testing.T) {
	t.Setenv("MINIO_SITE_REGION", "eu-west-1")
	s := miniotest.Start(t)
	d := sick{t: t, driver: "s3", server: s}
	examine := func() finding {
		r := d.examine(map[string]string{"region": "us-east-2", "create_bucket": "false"}, s.URL)
		return r.Findings[len(r.Findings)-1]
	}
	last := examine()
	// MinIO answers before it has read its settings; until then it takes any region, or is not available.
	soon := time.After(30 * time.Second)
	for tick := time.Tick(100 * time.Millisecond); !strings.Contains(last.Detail, "region: "); {
		select {
		case <-tick:
			last = examine()
		case <-soon:
			t.Fatalf("%+v", last)
		}
	}
	if last.Name != "open" || last.Status != failed || !strings.Contains(last.Detail, "region: ") || last.Fix != "correct storage.s3.region" {
		t.Errorf("%+v", last)
	}
}

// sick is a deployment to be examined.
type sick struct {
	t      *testing.T
	driver string
	server *miniotest.Server
}

func (d sick) examine(change map[string]string, endpoint string) doctorReport {
	d.t.Helper()
	settings := map[string]string{
		"endpoint": endpoint, "bucket": "images", "create_bucket": "true", "access_key": d.server.User, "secret_key": d.server.Password, "attempts": "2",
	}
	for k, v := range change {
		settings[k] = v
	}
	text := "storage:\n  " + d.driver + ":\n"
	for k, v := range settings {
		text += fmt.Sprintf("    %s: %q\n", k, v)
	}
	var stdout, stderr bytes.Buffer
	p := program{stdout: &stdout, stderr: &stderr, uid: 1}
	p.run([]string{"doctor", "-o", "json", writeFile(d.t, "config.yml", text)})
	var r doctorReport
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		d.t.Fatalf("%v: %s%s", err, &stdout, &stderr)
	}
	return r
}

// proxied is a proxy before a server.
func proxied(t *testing.T, server string, change func(*httputil.ReverseProxy)) string {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // it is signed
	}}
	change(p)
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return s.URL
}

// A lost condition that no signature shows is seen by what it lets through; a lost Date by its absence.
func TestLostHeaders(t *testing.T) {
	r := loaded{}.recognised(result{Name: "put-if-absent", Status: warned, Detail: "the store replaced an object that was there: it ignores the condition"})
	if !strings.Contains(r.Fix, "drops the header If-None-Match or If-Match") {
		t.Errorf("%+v", r)
	}
	now := time.Now()
	if r := clockOf(http.Header{}, now, now); r.Status != warned || !strings.Contains(r.Fix, "Date") {
		t.Errorf("%+v", r)
	}
}
