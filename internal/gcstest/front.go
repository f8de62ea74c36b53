package gcstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// front stands before the server. It gives compose what the server leaves out: conditions on the destination, the removal of the
// sources, and 404 for a source that is not there. It checks signed URLs, which the server does not, and gives tokens. All else passes as it is.
type front struct {
	server    string // URL
	account   *Account
	forward   http.Handler
	transport *http.Transport
	http      *http.Server
	done      chan struct{}

	mu sync.Mutex // one compose at a time
}

// startFront listens on a free port; the server behind need not be there yet.
func startFront(server string, account *Account) (f *front, address string, err error) {
	to, err := url.Parse(server)
	if err != nil {
		return nil, "", err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	f = &front{
		server: server, account: account, done: make(chan struct{}),
		// Connections that wait for a next request would look like something that a test has left behind.
		transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 200 * time.Millisecond, DisableCompression: true},
	}
	f.forward = &httputil.ReverseProxy{
		Transport: f.transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // breaks the connection
		},
	}
	f.http = &http.Server{Handler: f}
	go func() {
		defer close(f.done)
		_ = f.http.Serve(listener) // until it is closed
	}()
	return f, listener.Addr().String(), nil
}

func (f *front) stop() {
	_ = f.http.Close() // of a listener; there is nothing to lose
	<-f.done
	f.transport.CloseIdleConnections()
}

// tokenPath is where the account gets its tokens.
const tokenPath = "/token"

// ServeHTTP is part of http.Handler.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var status int
	var body []byte
	var err error
	switch {
	case r.URL.Path == tokenPath:
		status, body = http.StatusOK, []byte(`{"access_token":"T","token_type":"Bearer","expires_in":3600}`)
	case r.URL.Query().Has("X-Goog-Signature") && f.account.Check(r.Method, r.Host, r.URL) != nil:
		status, body, err = refused(http.StatusForbidden, "SignatureDoesNotMatch")
	case CallOf(r) == "Compose":
		status, body, err = f.compose(r)
	default:
		f.forward.ServeHTTP(w, r)
		return
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have left
}

// compose answers https://cloud.google.com/storage/docs/json_api/v1/objects/compose.
func (f *front) compose(r *http.Request) (status int, answer []byte, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil, err
	}
	var in struct {
		DeleteSourceObjects bool
		SourceObjects       []struct{ Name string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return 0, nil, err
	}
	object := strings.TrimSuffix(r.URL.EscapedPath(), "/compose")
	folder := object[:strings.LastIndex(object, "/")+1]
	f.mu.Lock()
	defer f.mu.Unlock()
	if want := r.URL.Query().Get("ifGenerationMatch"); want != "" {
		generation, err := f.generation(object)
		if err != nil {
			return 0, nil, err
		}
		if generation != want {
			return refused(http.StatusPreconditionFailed, "conditionNotMet")
		}
	}
	for _, source := range in.SourceObjects {
		generation, err := f.generation(folder + url.PathEscape(source.Name))
		if err != nil {
			return 0, nil, err
		}
		if generation == "0" {
			return refused(http.StatusNotFound, "notFound")
		}
	}
	status, answer, err = f.ask(http.MethodPost, r.URL.RequestURI(), body)
	if err != nil || status != http.StatusOK || !in.DeleteSourceObjects {
		return status, answer, err
	}
	for _, source := range in.SourceObjects {
		if _, _, err := f.ask(http.MethodDelete, folder+url.PathEscape(source.Name), nil); err != nil {
			return 0, nil, err
		}
	}
	return status, answer, nil
}

// refused is an error as the service writes it.
func refused(status int, reason string) (int, []byte, error) {
	return status, fmt.Appendf(nil, `{"error":{"code":%d,"message":%q,"errors":[{"reason":%[2]q,"message":%[2]q}]}}`, status, reason), nil
}

// generation is that of an object, "0" if there is none.
func (f *front) generation(object string) (string, error) {
	status, body, err := f.ask(http.MethodGet, object, nil)
	if err != nil {
		return "", err
	}
	if status == http.StatusNotFound {
		return "0", nil
	}
	var facts struct{ Generation string }
	err = json.Unmarshal(body, &facts)
	return facts.Generation, err
}

// ask sends a request to the server.
func (f *front) ask(method, uri string, body []byte) (status int, answer []byte, err error) {
	r, err := http.NewRequest(method, f.server+uri, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	w, err := f.transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	answer, err = io.ReadAll(w.Body)
	return w.StatusCode, answer, errors.Join(err, w.Body.Close())
}
