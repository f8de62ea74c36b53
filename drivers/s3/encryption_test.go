//go:build integration

package s3

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// TestEncryption stores and reads with each kind, on a MinIO that has a key of its own and speaks TLS.
func TestEncryption(t *testing.T) {
	t.Setenv("MINIO_KMS_SECRET_KEY", "registry-key:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	s := miniotest.StartTLS(t, miniotest.Certificates(t))
	for name, test := range map[string]struct {
		change func(*Config)
		header string // of the answer to a GET
		want   string
	}{
		"SSE-S3":  {func(c *Config) { c.Encryption = "s3" }, "X-Amz-Server-Side-Encryption", "AES256"},
		"SSE-KMS": {func(c *Config) { c.Encryption, c.KMSKey = "kms", "registry-key" }, "X-Amz-Server-Side-Encryption", "aws:kms"},
		"SSE-C": {func(c *Config) {
			c.Encryption, c.CustomerKey = "customer", "YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk="
		}, "X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &lastHeader{}
			c := at(s.URL, s.User, s.Password)
			c.InsecureVerify, c.PartSize = true, parts.MinPart
			c.Transport = func(next http.RoundTripper) http.RoundTripper {
				seen.next = next
				return seen
			}
			test.change(&c)
			d := open(t, c)
			body := bytes.Repeat([]byte("a layer"), 2*parts.MinPart/7)
			if err := d.PutIfAbsent(t.Context(), "e/record", []byte("a record")); err != nil {
				t.Fatal(err)
			}
			streamed(t, d, "e/blob", body)
			for key, want := range map[string][]byte{"e/record": []byte("a record"), "e/blob": body} {
				r, info, err := d.Reader(t.Context(), key, 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				if got := seen.header.Get(test.header); got != test.want {
					t.Errorf("%s has %s %q, want %q", key, test.header, got, test.want)
				}
				got, err := io.ReadAll(r)
				_ = r.Close()
				if err != nil || !bytes.Equal(got, want) || info.Size != int64(len(want)) {
					t.Errorf("%s: read %d bytes of %d, %v", key, len(got), info.Size, err)
				}
				if stat, err := d.Stat(t.Context(), key); err != nil || stat != info {
					t.Errorf("%s: Stat = %+v, %v, want %+v", key, stat, err, info)
				}
			}
			if signer := drivers.ExtrasOf(d).Signer; (signer == nil) != (name == "SSE-C") {
				t.Errorf("signs URLs: %v", signer != nil)
			}
		})
	}
}

// streamed writes body in two sessions.
func streamed(t *testing.T, d *Driver, key string, body []byte) {
	t.Helper()
	w, err := d.Writer(t.Context(), key, -1)
	if err != nil {
		t.Fatal(err)
	}
	half := parts.MinPart + 10
	if _, err := w.Write(body[:half]); err != nil {
		t.Fatal(err)
	}
	state, err := w.Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if w, err = d.Resume(t.Context(), key, state); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body[half:]); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// lastHeader keeps the header of the last answer. It is for one request at a time, and for those that nobody looks at.
type lastHeader struct {
	next   http.RoundTripper
	mu     sync.Mutex
	header http.Header
}

// RoundTrip is next's.
func (l *lastHeader) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(r)
	if err == nil {
		l.mu.Lock()
		l.header = resp.Header
		l.mu.Unlock()
	}
	return resp, err
}
