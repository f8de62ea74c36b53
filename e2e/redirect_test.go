//go:build e2e

package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/internal/faultproxy"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// TestRedirectsByNetwork sends clients of one network to the store's public endpoint, and serves all others.
func TestRedirectsByNetwork(t *testing.T) {
	m := miniotest.Start(t)
	for _, driver := range []string{"s3", "minio"} {
		t.Run(driver, func(t *testing.T) {
			public := faultproxy.New(t, m.URL) // keeps the Host of requests, which is signed
			storage := "LONGSHORE_STORAGE_" + strings.ToUpper(driver) + "_"
			s := serve(t, freeAddr(t), []string{
				storage + "ENDPOINT=" + m.URL, storage + "PUBLIC_ENDPOINT=" + public.URL, storage + "BUCKET=redirect-" + driver,
				storage + "ACCESS_KEY=" + m.User, storage + "SECRET_KEY=" + m.Password, storage + "CREATE_BUCKET=true",
				"LONGSHORE_REDIRECT_ENABLED=true", "LONGSHORE_REDIRECT_NETWORKS=10.20.0.0/16,fd00::/8", "LONGSHORE_REDIRECT_MIN_SIZE=1",
				"LONGSHORE_HTTP_TRUSTED_PROXIES=127.0.0.1",
			})
			body := bytes.Repeat([]byte("0123456789"), 20_000)
			digest := fmt.Sprintf("sha256:%x", sha256.Sum256(body))
			res, err := http.Post("http://"+s.addr+"/v2/a/b/blobs/uploads/?digest="+digest, "application/octet-stream", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if _ = res.Body.Close(); res.StatusCode != http.StatusCreated {
				t.Fatal(res.Status)
			}
			client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			get := func(url, from string) (*http.Response, []byte) {
				t.Helper()
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
				if err != nil {
					t.Fatal(err)
				}
				if from != "" {
					r.Header.Set("X-Forwarded-For", from)
				}
				r.Header.Set("Range", "bytes=10-19")
				res, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				return res, got
			}
			for from, redirected := range map[string]bool{
				"10.20.1.2": true, "fd00::1": true, "10.21.0.1": false, "192.0.2.1": false, "": false,
				"10.20.1.2, 192.0.2.1": false, // the first is what the client says of itself
			} {
				res, got := get("http://"+s.addr+"/v2/a/b/blobs/"+digest, from)
				if redirected {
					url := res.Header.Get("Location")
					if res.StatusCode != http.StatusTemporaryRedirect || !strings.HasPrefix(url, public.URL+"/redirect-"+driver+"/data/") {
						t.Errorf("from %q: %s to %q, want the public endpoint", from, res.Status, url)
						continue
					}
					res, got = get(url, "")
				}
				if res.StatusCode != http.StatusPartialContent || !bytes.Equal(got, body[10:20]) {
					t.Errorf("from %q: %s, %q", from, res.Status, got)
				}
			}
			if calls := public.Calls(); len(calls) != 2 || calls[0] != "GET" {
				t.Errorf("the public endpoint was asked for %q, want a GET from each of two clients", calls)
			}
		})
	}
}
