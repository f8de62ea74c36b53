package api_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// pipes is a listener whose connections have the deadlines of the bubble's clock.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error { return nil }

func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// slowly runs talk, in a bubble where hours take no time, against a server with the usual idle timeout of a minute. On the connection
// nothing is buffered: a write returns when it has been read.
func slowly(t *testing.T, talk func(t *testing.T, conn net.Conn, read func(method string) answer)) {
	// The registry's caches have goroutines that never end, so it is made outside.
	r, err := registry.Open(t.Context(), memory.New(memory.Options{}), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	handler := api.New(r, api.Options{Log: slog.New(slog.DiscardHandler)})
	synctest.Test(t, func(t *testing.T) {
		listener := make(pipes)
		server := http.Server{Handler: handler}
		go server.Serve(listener)
		client, end := net.Pipe()
		defer func() {
			client.Close()
			close(listener)
			server.Close()
			synctest.Wait()
		}()
		listener <- end
		reader := bufio.NewReader(client)
		talk(t, client, func(method string) answer {
			t.Helper()
			res, err := http.ReadResponse(reader, &http.Request{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			return readAnswer(res)
		})
	})
}

// want fails the test unless the answer has the status.
func want(t *testing.T, a answer, status int) {
	t.Helper()
	if a.err != nil || a.status != status {
		t.Errorf("got %s, %v, want %d", a, a.err, status)
	}
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func TestSlowUploadHasNoTotalDeadline(t *testing.T) {
	slowly(t, func(t *testing.T, conn net.Conn, read func(string) answer) {
		send(t, conn, "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: r\r\n\r\n")
		location := read("POST").header.Get("Location")
		content := strings.Repeat("x", 180)
		send(t, conn, fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\n\r\n", location, len(content)))
		for _, b := range content { // for two hours
			time.Sleep(40 * time.Second)
			send(t, conn, string(b))
		}
		a := read("PATCH")
		want(t, a, http.StatusAccepted)
		send(t, conn, fmt.Sprintf("PUT %s&digest=%s HTTP/1.1\r\nHost: r\r\n\r\n", a.header.Get("Location"), sum(content)))
		want(t, read("PUT"), http.StatusCreated)
	})
}

func TestStalledUploadEndsAfterTheIdleTimeout(t *testing.T) {
	slowly(t, func(t *testing.T, conn net.Conn, read func(string) answer) {
		send(t, conn, "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: r\r\n\r\n")
		location := read("POST").header.Get("Location")
		start := time.Now()
		send(t, conn, fmt.Sprintf("PATCH %s HTTP/1.1\r\nHost: r\r\nContent-Length: 20\r\n\r\n%s", location, ten))
		want(t, read("PATCH"), http.StatusRequestTimeout)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

func TestBodyThatNobodyReadsDoesNotHoldTheAnswer(t *testing.T) {
	for _, start := range []string{
		"GET /v2/", "GET /nowhere", "DELETE /v2/a/manifests/1", "PATCH /v2/a/blobs/uploads/x", "PUT /v2/A/manifests/1", "POST /v2/A/blobs/uploads/", "POST /v2/",
	} {
		t.Run(start, func(t *testing.T) {
			slowly(t, func(t *testing.T, conn net.Conn, read func(string) answer) {
				begun := time.Now()
				send(t, conn, start+" HTTP/1.1\r\nHost: r\r\nContent-Length: 20\r\n\r\n")
				read("GET")
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// A deadline for an answer must not outlast it: connections are used again.
func TestConnectionIsUsedAgainAfterALongTime(t *testing.T) {
	slowly(t, func(t *testing.T, conn net.Conn, read func(string) answer) {
		for _, pause := range []time.Duration{0, time.Second, time.Hour, 59 * time.Second, 24 * time.Hour} {
			time.Sleep(pause)
			send(t, conn, "GET /v2/ HTTP/1.1\r\nHost: r\r\n\r\n")
			want(t, read("GET"), http.StatusOK)
			time.Sleep(pause)
			send(t, conn, "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: r\r\n\r\n") // an answer without a body
			want(t, read("POST"), http.StatusAccepted)
			send(t, conn, "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\n\r\n{}")
			want(t, read("PUT"), http.StatusBadRequest)
			time.Sleep(pause)
			send(t, conn, "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: r\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
			want(t, read("PUT"), http.StatusContinue)
			send(t, conn, "{}")
			want(t, read("PUT"), http.StatusBadRequest)
		}
	})
}

func TestReaderThatStallsEndsAfterTheIdleTimeout(t *testing.T) {
	slowly(t, func(t *testing.T, conn net.Conn, read func(string) answer) {
		send(t, conn, fmt.Sprintf("POST /v2/a/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\n\r\n%s", sum(big), len(big), big))
		want(t, read("POST"), http.StatusCreated)
		get := "GET /v2/a/blobs/" + sum(big) + " HTTP/1.1\r\nHost: r\r\n\r\n"
		start := time.Now()
		send(t, conn, get)
		buf := make([]byte, 300_000)
		for range 10 { // some of it, slowly
			time.Sleep(50 * time.Second)
			if _, err := io.ReadFull(conn, buf); err != nil {
				t.Fatalf("after %v: %v", time.Since(start), err)
			}
		}
		time.Sleep(3 * time.Minute)
		if n, err := io.Copy(io.Discard, conn); n > 1<<20 {
			t.Errorf("%d bytes came after three minutes, %v", n, err)
		}
	})
}
