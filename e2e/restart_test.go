//go:build e2e

package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRestart ends longshore in the middle of uploads, once without warning and once with SIGTERM, and goes on with them on
// the process that takes its place.
func TestRestart(t *testing.T) {
	onEach(t, func(t *testing.T, env []string) {
		const chunk = 6_000_000
		body := random(50, 4*chunk)
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body)))
		addr := freeAddr(t)
		restart := func(why string) server {
			t.Helper()
			begin := time.Now()
			s := serve(t, addr, env)
			t.Logf("measured: ready %d ms after its start, %s", time.Since(begin).Milliseconds(), why)
			return s
		}

		s := restart("with an empty store")
		s.mustPush(t, "restart/kept", made.multi)
		location, err := s.startUpload(t.Context(), "restart/upload")
		if err == nil {
			location, err = s.patch(t.Context(), location, 0, body[:chunk])
		}
		if err != nil {
			t.Fatal(err)
		}

		// Killed while a chunk is on its way: the client goes on from where the registry says.
		w, sent := s.patchSlowly(t, location, chunk, body[chunk:2*chunk])
		if _, err := io.WriteString(w, body[chunk:chunk+chunk/2]); err != nil {
			t.Fatal(err)
		}
		if err := s.stop(syscall.SIGKILL); err == nil {
			t.Error("a killed process ended well")
		}
		_ = w.Close() // the connection is gone
		if a := <-sent; a.err == nil {
			t.Errorf("a killed process answered %s", a.Status)
		}
		s = restart("after a kill")
		location, kept := s.progress(t, location)
		if kept < chunk {
			t.Fatalf("%d bytes of the upload are left, want at least the %d that were answered", kept, chunk)
		}
		if location, err = s.patch(t.Context(), location, kept, body[kept:2*chunk]); err != nil {
			t.Fatal(err)
		}

		// SIGTERM while a chunk is on its way: the chunk is still taken, then the process ends well.
		w, sent = s.patchSlowly(t, location, 2*chunk, body[2*chunk:3*chunk])
		if _, err := io.WriteString(w, body[2*chunk:2*chunk+chunk/2]); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.stop(syscall.SIGTERM) }()
		s.waitUntilClosed(t)
		if _, err := io.WriteString(w, body[2*chunk+chunk/2:3*chunk]); err != nil {
			t.Error(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		a := <-sent
		if a.err != nil || a.StatusCode != http.StatusAccepted {
			t.Fatalf("the chunk that was on its way at SIGTERM: %v %v", a.Response, a.err)
		}
		if err := <-ended; err != nil {
			t.Errorf("longshore after SIGTERM: %v", err)
		}

		s = restart("after SIGTERM")
		if location, err = s.patch(t.Context(), a.Header.Get("Location"), 3*chunk, body[3*chunk:]); err == nil {
			err = s.finish(t.Context(), location, digest, nil, 0)
		}
		if err == nil {
			err = s.checkBlob(t.Context(), "restart/upload", digest, int64(len(body)))
		}
		if err != nil {
			t.Error(err)
		}
		s.mustHold(t, "restart/kept", "1", made.multi.digest)
	})
}

// A sentChunk is how the registry answered a chunk, or that it did not.
type sentChunk struct {
	answer
	err error
}

// patchSlowly begins a PATCH of chunk whose bytes the caller writes, and returns a channel for the answer. It asks for 100 Continue, so that
// a write returns only after the registry has begun to read the body.
func (r remote) patchSlowly(t *testing.T, location string, offset int64, chunk string) (*io.PipeWriter, <-chan sentChunk) {
	t.Helper()
	body, w := io.Pipe()
	sent := make(chan sentChunk, 1)
	header := http.Header{
		"Content-Type":  {"application/octet-stream"},
		"Content-Range": {fmt.Sprintf("%d-%d", offset, offset+int64(len(chunk))-1)},
		"Expect":        {"100-continue"},
	}
	go func() {
		a, err := r.send(t.Context(), http.MethodPatch, location, header, body, int64(len(chunk)))
		_ = body.CloseWithError(errors.Join(err, io.ErrClosedPipe)) // a writer does not wait for a client that has gone
		sent <- sentChunk{a, err}
	}()
	return w, sent
}

// progress asks how far an upload is, and returns its location and how many bytes are kept.
func (r remote) progress(t *testing.T, location string) (string, int64) {
	t.Helper()
	a, err := r.get(t.Context(), location, http.StatusNoContent)
	if err != nil {
		t.Fatal(err)
	}
	last, err := strconv.ParseInt(strings.TrimPrefix(a.Header.Get("Range"), "0-"), 10, 64)
	if err != nil {
		t.Fatalf("Range is %q", a.Header.Get("Range"))
	}
	return a.Header.Get("Location"), last + 1
}

// waitUntilClosed returns when the server takes no more connections.
func (s server) waitUntilClosed(t *testing.T) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	s.wait(func() error {
		res, err := client.Get("http://" + s.addr + "/v2/")
		if err != nil {
			return nil
		}
		return errors.Join(errors.New("still listening"), res.Body.Close())
	})
}
