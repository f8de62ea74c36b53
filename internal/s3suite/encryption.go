package s3suite

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// Encryption is what a driver is asked to do, in the words of its settings.
type Encryption struct {
	Kind, KMSKey, CustomerKey string
	Transport                 func(http.RoundTripper) http.RoundTripper
}

// Encrypts stores and reads with each kind of encryption, on a MinIO that has a key of its own and speaks TLS. open opens a driver that
// takes any certificate and has parts of 5 MiB.
func Encrypts(t *testing.T, open func(t *testing.T, s *miniotest.Server, e Encryption) drivers.Driver) {
	t.Setenv("MINIO_KMS_SECRET_KEY", "registry-key:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	s := miniotest.StartTLS(t, miniotest.Certificates(t))
	for name, test := range map[string]struct {
		Encryption
		header string // of the answer to a GET
		want   string
	}{
		"SSE-S3":  {Encryption{Kind: "s3"}, "X-Amz-Server-Side-Encryption", "AES256"},
		"SSE-KMS": {Encryption{Kind: "kms", KMSKey: "registry-key"}, "X-Amz-Server-Side-Encryption", "aws:kms"},
		"SSE-C":   {Encryption{Kind: "customer", CustomerKey: "YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk="}, "X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &lastHeader{}
			test.Transport = func(next http.RoundTripper) http.RoundTripper {
				seen.next = next
				return seen
			}
			d := open(t, s, test.Encryption)
			body := bytes.Repeat([]byte("a layer"), 2*minPart/7)
			if err := drivers.ExtrasOf(d).Absent.PutIfAbsent(t.Context(), "e/record", []byte("a record")); err != nil {
				t.Fatal(err)
			}
			inTwoSessions(t, d, "e/blob", body)
			for key, want := range map[string][]byte{"e/record": []byte("a record"), "e/blob": body} {
				r, info, err := d.Reader(t.Context(), key, 0, -1)
				if err != nil {
					t.Fatal(err)
				}
				if got := seen.get(test.header); got != test.want {
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

// inTwoSessions writes body.
func inTwoSessions(t *testing.T, d drivers.Driver, key string, body []byte) {
	t.Helper()
	w, err := d.Writer(t.Context(), key, -1)
	if err != nil {
		t.Fatal(err)
	}
	half := minPart + 10
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

func (l *lastHeader) get(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.header.Get(name)
}
