package api_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// tap is a ResponseWriter that sees what net/http's would be given. That one calls sendfile if it can read from a file
// or from an io.LimitedReader right over one.
type tap struct {
	header    http.Header
	status    int
	body      bytes.Buffer
	fromFiles int64 // bytes
}

func (w *tap) Header() http.Header         { return w.header }
func (w *tap) WriteHeader(status int)      { w.status = status }
func (w *tap) Write(p []byte) (int, error) { return w.body.Write(p) }

func (w *tap) ReadFrom(src io.Reader) (int64, error) {
	n, err := w.body.ReadFrom(src)
	if limited, ok := src.(*io.LimitedReader); ok {
		src = limited.R
	}
	if _, ok := src.(*os.File); ok {
		w.fromFiles += n
	}
	return n, err
}

func TestBlobsOfAFolderGoOutBySendfile(t *testing.T) {
	r, err := registry.Open(t.Context(), openFS(t), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	handler := api.New(r, api.Options{})
	ask := func(method, path, body string, header http.Header) *tap {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if header != nil {
			req.Header = header
		}
		w := &tap{header: http.Header{}}
		handler.ServeHTTP(w, req)
		return w
	}
	if w := ask("POST", "/v2/a/blobs/uploads/?digest="+sum(bigger), bigger, nil); w.status != http.StatusCreated {
		t.Fatalf("got %d %s", w.status, w.body.String())
	}
	for _, test := range []struct {
		ranges, want string
		status       int
	}{
		{"", bigger, http.StatusOK},
		{"bytes=1000000-", bigger[1000000:], http.StatusPartialContent},
		{"bytes=5-5000004", bigger[5:5000005], http.StatusPartialContent},
		{"bytes=-10", bigger[len(bigger)-10:], http.StatusPartialContent},
		{"bytes=0-0", bigger[:1], http.StatusPartialContent},
	} {
		header := http.Header{}
		if test.ranges != "" {
			header.Set("Range", test.ranges)
		}
		w := ask("GET", "/v2/a/blobs/"+sum(bigger), "", header)
		if w.status != test.status || w.body.String() != test.want {
			t.Errorf("range %q: got %d and %s, want %d and %s", test.ranges, w.status, short(w.body.String()), test.status, short(test.want))
		}
		if w.fromFiles != int64(len(test.want)) {
			t.Errorf("range %q: %d of %d bytes went from the file to the connection", test.ranges, w.fromFiles, len(test.want))
		}
	}
}
