//go:build integration

package s3

import (
	"bytes"
	"crypto"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// TestCloudFront reads through a distribution that asks MinIO with an identity of its own.
func TestCloudFront(t *testing.T) {
	text, public := privateKey(t, "PRIVATE KEY")
	c := onMinIO(t)
	own := open(t, c) // the distribution's
	e := &edge{keys: map[string]crypto.PublicKey{"K2JCJMDEHXQW5F": public}, originPath: "/images", now: time.Now}
	e.origin = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		signed, err := own.SignURL(r.In.Context(), strings.TrimPrefix(r.In.URL.Path, "/"), time.Minute)
		if err == nil {
			r.Out.URL, err = url.Parse(signed)
		}
		if err != nil {
			t.Error(err)
			return
		}
		r.Out.Host = r.Out.URL.Host
	}}
	front := httptest.NewServer(e)
	t.Cleanup(front.Close)
	c.Prefix = "images/one"
	c.CloudFront = CloudFront{URL: front.URL, KeyID: "K2JCJMDEHXQW5F", PrivateKey: drivers.Secret(text), OriginPath: "/images", Network: "127.0.0.1"}
	d := open(t, c)
	body := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, key := range []string{"data/aa/2026-01-31/o", "data/-._-/A_b.c"} {
		if err := d.Put(t.Context(), key, body); err != nil {
			t.Fatal(err)
		}
		signed, err := drivers.ExtrasOf(d).Signer.SignURL(t.Context(), key, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, ask := range []struct {
			method, url, ranges string
			code                int
			want                []byte
		}{
			{http.MethodGet, signed, "", http.StatusOK, body},
			{http.MethodGet, signed, "bytes=5-14", http.StatusPartialContent, body[5:15]},
			{http.MethodGet, signed, "bytes=-3", http.StatusPartialContent, body[len(body)-3:]},
			{http.MethodGet, strings.Replace(signed, "/one/data", "/one/data/..", 1), "", http.StatusForbidden, nil},
			{http.MethodGet, strings.Replace(signed, "Signature=", "Signature=A", 1), "", http.StatusForbidden, nil},
			{http.MethodGet, strings.Split(signed, "?")[0], "", http.StatusForbidden, nil},
			{http.MethodPut, signed, "", http.StatusForbidden, nil},
			{http.MethodDelete, signed, "", http.StatusForbidden, nil},
		} {
			r, err := http.NewRequestWithContext(t.Context(), ask.method, ask.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if ask.ranges != "" {
				r.Header.Set("Range", ask.ranges)
			}
			resp, err := front.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != ask.code || ask.want != nil && !bytes.Equal(got, ask.want) {
				t.Errorf("%s %s of %s: %s, %d bytes, %v", ask.method, ask.ranges, key, resp.Status, len(got), err)
			}
		}
	}
}
