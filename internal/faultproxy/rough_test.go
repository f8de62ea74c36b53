package faultproxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestRough sends and fetches bodies, and finds as many of them cut as the proxy says.
func TestRough(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 10_000)
	var whole atomic.Int64 // bodies that the server got
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = w.Write(body)
			return
		}
		if got, err := io.ReadAll(r.Body); err == nil && bytes.Equal(got, body) {
			whole.Add(1)
		}
	}))
	t.Cleanup(server.Close)
	proxy := NewRough(t, server.URL, false)
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}

	const each, workers = 25, 40
	var sent, busy, cutBodies, cutAnswers, resets atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for worker := range workers {
		all.Go(func() {
			method, in, cut := http.MethodGet, io.Reader(nil), &cutAnswers
			for range each {
				if worker%2 == 0 {
					method, in, cut = http.MethodPut, io.MultiReader(bytes.NewReader(body)), &cutBodies // of unknown length
				}
				r, err := http.NewRequestWithContext(t.Context(), method, proxy.URL, in)
				if err != nil {
					t.Error(err)
					return
				}
				if worker%4 == 0 {
					r.ContentLength = int64(len(body))
				}
				res, err := client.Do(r)
				if err == nil {
					var got []byte
					got, err = io.ReadAll(res.Body)
					_ = res.Body.Close()
					switch {
					case res.StatusCode == http.StatusServiceUnavailable:
						busy.Add(1)
						continue
					case err == nil && method == http.MethodPut:
						sent.Add(1)
					case err == nil && !bytes.Equal(got, body):
						t.Errorf("%d bytes came without an error, want %d", len(got), len(body))
					case err != nil && (len(got) < len(body)/3 || len(got) > len(body)/2):
						t.Errorf("cut after %d of %d bytes", len(got), len(body))
					}
				}
				if err != nil {
					cut.Add(1)
				}
				if errors.Is(err, syscall.ECONNRESET) {
					resets.Add(1)
				}
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took < each*roughDelay {
		t.Errorf("%d requests after each other took %v", each, took)
	}
	if n := proxy.Requests.Load(); n != each*workers || proxy.Busy.Load() < n/busyEvery-proxy.Doomed() || proxy.Busy.Load() > n/busyEvery {
		t.Errorf("%d requests, %d of them answered with 503", n, proxy.Busy.Load())
	}
	if busy.Load() != proxy.Busy.Load() || cutBodies.Load() != proxy.CutBodies.Load() || cutAnswers.Load() != proxy.CutAnswers.Load() {
		t.Errorf("the client saw %d, %d and %d, the proxy counted %d, %d and %d", busy.Load(), cutBodies.Load(), cutAnswers.Load(),
			proxy.Busy.Load(), proxy.CutBodies.Load(), proxy.CutAnswers.Load())
	}
	if sent.Load() != whole.Load() {
		t.Errorf("%d bodies were sent, %d arrived", sent.Load(), whole.Load())
	}
	if proxy.Doomed() < 3 || proxy.Broken() != proxy.Doomed() || resets.Load() == 0 {
		t.Errorf("%d of %d connections broke, want %d; %d resets", proxy.Broken(), proxy.Connections.Load(), proxy.Doomed(), resets.Load())
	}
}
