package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start starts the program, and stops it with the test.
func start(t *testing.T, log io.Writer, env ...string) (addr string, cmd *exec.Cmd) {
	t.Helper()
	addr = freeAddr(t)
	cmd = exec.Command("longshore", "serve")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), append(env, "LONGSHORE_HTTP_ADDR="+addr)...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // fails if it has ended, as it should have
	if _, err := poll("http://" + addr + "/v2/"); err != nil {
		t.Fatal(err)
	}
	return addr, cmd
}

// refused waits until nobody takes connections.
func refused(t *testing.T, addr string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		_ = c.Close()
		select {
		case <-deadline:
			t.Fatal("still takes connections")
		default:
		}
	}
}

// TestFinishesUploads sends SIGTERM in the middle of a layer. The layer is finished and committed, and the program ends with 0.
func TestFinishesUploads(t *testing.T) {
	var log bytes.Buffer
	addr, cmd := start(t, &log)
	first, rest := bytes.Repeat([]byte("a"), 1<<20), bytes.Repeat([]byte("b"), 1<<20)
	sum := sha256.Sum256(append(bytes.Clone(first), rest...))
	body, feed := io.Pipe()
	answer := make(chan error, 1)
	reading := make(chan struct{}) // the server asks for the body once it is in the middle of the request
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(reading) }})
	url := "http://" + addr + "/v2/a/blobs/uploads/?digest=sha256:" + hex.EncodeToString(sum[:])
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Header.Set("Expect", "100-continue")
	go func() {
		client := http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Hour}}
		response, err := client.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode != http.StatusCreated {
				err = errors.New(response.Status)
			}
		}
		answer <- err
	}()
	select {
	case <-reading:
	case err := <-answer:
		t.Fatalf("answered before the body: %v", err)
	}
	if _, err := feed.Write(first); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	refused(t, addr)
	if _, err := feed.Write(rest); err != nil {
		t.Fatal(err)
	}
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil {
		t.Errorf("the upload: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program: %v\n%s", err, log.String())
	}
}

// hanging is a server with a request in it that does not end by itself.
type hanging struct {
	addr    string
	signals chan os.Signal
	ended   chan error // of serveHTTP
	log     *bytes.Buffer
}

func hang(t *testing.T, grace time.Duration) hanging {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := hanging{l.Addr().String(), make(chan os.Signal, 2), make(chan error, 1), new(bytes.Buffer)}
	entered := make(chan struct{})
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		s := httpSettings{HeaderTimeout: time.Minute, KeepaliveTimeout: time.Minute, ShutdownGrace: grace}
		h.ended <- serveHTTP(ctx, l, handler, s, slog.New(slog.NewTextHandler(h.log, nil)), h.signals)
	}()
	go func() {
		if response, err := http.Get("http://" + h.addr); err == nil {
			_ = response.Body.Close()
		}
	}()
	<-entered
	return h
}

func TestBreaksOffAfterGrace(t *testing.T) {
	h := hang(t, 20*time.Millisecond)
	h.signals <- syscall.SIGTERM
	if err := <-h.ended; err != nil {
		t.Errorf("got %v, want nil", err)
	}
	if !strings.Contains(h.log.String(), "broken off") {
		t.Errorf("the log does not say so:\n%s", h.log)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	h := hang(t, time.Hour)
	h.signals <- syscall.SIGTERM
	h.signals <- syscall.SIGINT
	if err := <-h.ended; err == nil || !strings.Contains(err.Error(), "second signal") {
		t.Errorf("got %v, want an error", err)
	}
}

func TestHeaderTimeout(t *testing.T) {
	addr, _ := start(t, io.Discard, "LONGSHORE_HTTP_HEADER_TIMEOUT=100ms")
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprint(c, "GET /v2/ HTTP/1.1\r\nHost: a\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a client that never ends its header is not thrown out")
	}
}

// TestSpeaksHTTP2 asks as a proxy does that speaks HTTP/2 without TLS.
func TestSpeaksHTTP2(t *testing.T) {
	addr, _ := start(t, io.Discard)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("http://" + addr + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		t.Errorf("got %s over %s", response.Status, response.Proto)
	}
}
