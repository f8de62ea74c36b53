package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/bench"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// echo answers with the Host that it was asked under and the body.
func echo(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Host", r.Host)
		body, _ := io.ReadAll(r.Body) // what is missing is seen in the answer
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func post(t *testing.T, at, body string) (answer, host string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	a, err := c.Post(at, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(a.Body)
	_ = a.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return string(text), a.Header.Get("X-Host")
}

func TestProxyCountsAndDelays(t *testing.T) {
	const delay = 30 * time.Millisecond
	p, err := newProxy(echo(t), delay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	began := time.Now()
	for i := range 3 {
		body := strings.Repeat("x", 100_000*i)
		// What is signed has to arrive as it was.
		if got, host := post(t, p.url, body); got != body || "http://"+host != p.url {
			t.Errorf("%d bytes of %d came back, for the host %s", len(got), len(body), host)
		}
	}
	if took := time.Since(began); took < 3*delay || p.calls.Load() != 3 {
		t.Errorf("3 requests took %v and count as %d", took, p.calls.Load())
	}
}

func TestNarrowPassesAllOn(t *testing.T) {
	n, err := newNarrow(echo(t), 50e6)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	body := strings.Repeat("0123456789", 100_000)
	if got, _ := post(t, n.url, body); got != body {
		t.Errorf("%d bytes of %d came back", len(got), len(body))
	}
}

func TestPace(t *testing.T) {
	var to bytes.Buffer
	began := time.Now()
	pace(&to, strings.NewReader(strings.Repeat("x", 300_000)), 1e6)
	if took := time.Since(began); to.Len() != 300_000 || took < 150*time.Millisecond {
		t.Errorf("%d bytes took %v, want 300 ms less the first 100", to.Len(), took)
	}
}

func TestUpload(t *testing.T) {
	quiet := slog.New(slog.DiscardHandler)
	r, err := registry.Open(t.Context(), memory.New(memory.Options{}), registry.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	s := httptest.NewServer(api.New(r, api.Options{Log: quiet}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	if took, err := upload(t.Context(), server{Target: bench.Target{Name: "test", URL: u}}, "a/b", 123_456, &sent); err != nil || took <= 0 || sent.Load() != 123_456 {
		t.Errorf("%v, %v, %d bytes", took, err, sent.Load())
	}
	if _, err := upload(t.Context(), server{Target: bench.Target{Name: "test", URL: u}}, "NOT A NAME", 1, &sent); err == nil {
		t.Error("an upload to no repository succeeds")
	}
}

func TestSides(t *testing.T) {
	r := &bench.Report{Results: []*bench.Result{
		{Work: "push", Target: longshoreName, Rate: 20}, {Work: "push", Target: distributionName, Rate: 4}, {Work: "push", Target: zotName, Rate: 5}, {Work: "pull", Target: longshoreName},
	}}
	s := sidesOf(r, "push")
	if s.ours.Rate != 20 || s.least(rate) != 4 || s.most(rate) != 5 || s.text(rateText) != "distribution 4/s, zot 5/s" || s.named(zotName).Rate != 5 || s.named(nginxName) != nil {
		t.Errorf("%+v: %s", s, s.text(rateText))
	}
	if g := s.group("a", rate, rateText); len(g.Bars) != 3 || !g.Bars[0].First || g.Bars[1].First || g.Bars[2].Value != 5 {
		t.Errorf("%+v", g)
	}
	if none := (sides{}); none.least(rate) != 0 || none.most(rate) != 0 || divided(1, 0) != 0 {
		t.Error("nothing is not 0")
	}
}

func TestPage(t *testing.T) {
	p := newPage(&lab{distribution: filepath.Join(t.TempDir(), "none")})
	p.add(row{}, outcome{
		lines:  []line{{"a", "b", "c", "d", "2×", "yes"}, {"e", "f", "g", "h", "", "no"}, {"i", "j", "k", "l", "", ""}},
		groups: []bench.Group{{Title: "rates", Bars: []bench.Bar{{Label: longshoreName, Value: 1, Text: "1"}}}}, notes: []string{"A note."},
	})
	dir := t.TempDir()
	if err := p.write(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| a | b | c | d | 2× | yes |", "1 of 2 targets are met", "- A note.", "zot was not measured", "](performance.svg)"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, chartName)); err != nil {
		t.Error(err)
	}
}

func TestCommandLine(t *testing.T) {
	if err := run(t.Context(), []string{"-only", "push-nowhere"}); err == nil || !strings.Contains(err.Error(), "push-nowhere") {
		t.Errorf("got %v", err)
	}
	if err := run(t.Context(), []string{"-list"}); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for _, r := range rows() {
		if seen[r.name] || r.about == "" || r.measure == nil {
			t.Errorf("%+v", r)
		}
		seen[r.name] = true
	}
}

// TestRowsEnd: servers of a row that fails are ended, its folder goes.
func TestRowsEnd(t *testing.T) {
	l := &lab{settings: settings{dir: t.TempDir()}}
	closed := 0
	_, err := l.row(t.Context(), row{measure: func(_ context.Context, b *bay) (outcome, error) {
		b.closers = append(b.closers, func() { closed++ })
		if _, err := b.folder(); err != nil {
			return outcome{}, err
		}
		return outcome{}, fmt.Errorf("no")
	}})
	left, readErr := os.ReadDir(l.dir)
	if err == nil || readErr != nil || closed != 1 || len(left) > 0 {
		t.Errorf("%v, %v, closed %d, left %v", err, readErr, closed, left)
	}
}
