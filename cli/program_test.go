package cli

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestBanner(t *testing.T) {
	for name, c := range map[string]struct {
		listen, public string
		want, not      []string
	}{
		"everywhere": {"[::]:5000", "", []string{"http://localhost:5000 (port 5000 of all addresses", "anyone who can reach port 5000 can read", "docker push localhost:5000/alpine", "Ctrl+C", "/longshore-data"}, []string{"insecure"}},
		"loopback":   {"127.0.0.1:5001", "", []string{"http://localhost:5001 (127.0.0.1:5001)", "anyone on this machine"}, []string{"insecure"}},
		"one":        {"192.0.2.7:5000", "", []string{"docker://192.0.2.7:5000/alpine", `"insecure-registries": ["192.0.2.7:5000"]`}, nil},
		"public":     {"[::]:5000", "https://r.example.com", []string{"https://r.example.com"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			addr, err := net.ResolveTCPAddr("tcp", c.listen)
			if err != nil {
				t.Fatal(err)
			}
			l, err := program{env: []string{"LONGSHORE_HTTP_PUBLIC_URL=" + c.public}}.load(nil)
			if err != nil {
				t.Fatal(err)
			}
			got := factsOf(l, addr).banner()
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
			for _, not := range c.not {
				if strings.Contains(got, not) {
					t.Errorf("%q in\n%s", not, got)
				}
			}
			if n := strings.Count(got, "\n"); n > 13 {
				t.Errorf("%d lines are more than a dozen", n)
			}
		})
	}
}

func TestDefaultRoot(t *testing.T) {
	service := []string{"INVOCATION_ID=x", "HOME=/home/me"}
	own := "SYSTEMD_EXEC_PID=" + strconv.Itoa(os.Getpid())
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"by hand":                         {[]string{"HOME=/home/me", "XDG_DATA_HOME=/data"}, folderHere},
		"service":                         {append(service, own), "/home/me/.local/share/longshore"},
		"service, old":                    {service, "/home/me/.local/share/longshore"},
		"service with a place":            {append(service, own, "XDG_DATA_HOME=/data"), "/data/longshore"},
		"relative place":                  {append(service, own, "XDG_DATA_HOME=data"), "/home/me/.local/share/longshore"},
		"no home":                         {[]string{"INVOCATION_ID=x", own}, folderHere},
		"in a terminal that is a service": {append(service, "SYSTEMD_EXEC_PID=1"), folderHere},
	} {
		if got := (program{env: c.env, uid: 1000}).defaultRoot(); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		// The service of root has a working folder that somebody chose.
		if got := (program{env: c.env}).defaultRoot(); got != folderHere {
			t.Errorf("%s, as root: got %s", name, got)
		}
	}
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	for env, want := range map[string]string{
		"LONGSHORE_HTTP_ADDR=5000":                          "write :5000",
		"LONGSHORE_HTTP_ADDR=http://localhost:5000":         "is a URL; write host:port",
		"LONGSHORE_HTTP_ADDR=192.0.2.7":                     "has no port; write 192.0.2.7:5000",
		"LONGSHORE_HTTP_ADDR=[::1]":                         "has no port; write [::1]:5000",
		"LONGSHORE_HTTP_ADDR=localhost":                     "is not host:port",
		"LONGSHORE_HTTP_ADDR=:http":                         "has to be a number",
		"LONGSHORE_HTTP_ADDR=:70000":                        "up to 65535",
		"LONGSHORE_HTTP_PUBLIC_URL=registry.example.com":    "is not a URL",
		"LONGSHORE_HTTP_PUBLIC_URL=https://example.com/hub": "more than scheme, host and port",
		"LONGSHORE_HTTP_SHUTDOWN_GRACE=30":                  "write 30s",
		"LONGSHORE_UPLOADS_LIFE=25h":                        "at most 24h",
		"LONGSHORE_LOG_LEVEL=warning":                       "not one of debug, info, warn or error",
		"LONGSHORE_STORAGE_MINIO_BUCKET=b":                  "storage.minio.endpoint: required; set it in the file, or as LONGSHORE_STORAGE_MINIO_ENDPOINT",
	} {
		_, err := program{env: []string{env}}.load(nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", env, err, want)
		}
	}
	for hint := range hints() {
		file := writeFile(t, "config.yml", strings.NewReplacer(".", ": {").Replace(hint)+": x"+strings.Repeat("}", strings.Count(hint, "."))+"\n")
		_, err := program{}.load([]string{file})
		if err == nil || !strings.Contains(err.Error(), hints()[hint]) {
			t.Errorf("%s: got %v, want the hint", hint, err)
		}
	}
}

func TestPanicsBecomeMessages(t *testing.T) {
	var stderr bytes.Buffer
	p := program{stderr: &stderr, stdout: brokenWriter{}}
	if code := p.run([]string{"version"}); code != exitFailed || !strings.Contains(stderr.String(), "a fault in the program") {
		t.Errorf("code %d, %q", code, stderr.String())
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { panic("broken") }
