package access

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// people is a source in memory: passwords by name. It counts what it is asked.
type people struct {
	passwords map[string]string
	asked     atomic.Int64
	err       error // instead of an answer
	identity  func(name string) Identity
}

func (p *people) Check(_ context.Context, name, password string) (Identity, error) {
	p.asked.Add(1)
	if p.err != nil {
		return Identity{}, p.err
	}
	want, ok := p.passwords[name]
	switch {
	case !ok:
		return Identity{}, ErrUnknown
	case want != password:
		return Identity{}, ErrRefused
	case p.identity != nil:
		return p.identity(name), nil
	}
	return Identity{Name: name, Kind: User, Source: "people"}, nil
}

// tokens is a source of bearer tokens in memory.
type tokens map[string]Identity

func (t tokens) CheckToken(_ context.Context, token string) (Identity, error) {
	if id, ok := t[token]; ok {
		return id, nil
	}
	return Identity{}, ErrUnknown
}

func newControl(t *testing.T, o ControlOptions) *Control {
	t.Helper()
	c, err := NewControl(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func password(name, password, address string) Credentials {
	return Credentials{Name: name, Password: password, Address: netip.MustParseAddr(address)}
}

func TestIdentify(t *testing.T) {
	down := errors.New("the directory does not answer")
	first := &people{passwords: map[string]string{"alice": "a", "bob": "b"}}
	second := &people{passwords: map[string]string{"alice": "other", "carol": "c"}}
	broken := &people{err: down}
	ci := Identity{Name: "ci", Kind: Workload, Source: "forge"}
	key := Identity{Name: "alice", Kind: Key, Source: "users", Scope: []Grant{{"**", []Action{Pull}}}}
	bearer := tokens{"eyJh.b.c": ci, KeyPrefix + "1": key}
	for _, test := range []struct {
		name string
		cred Credentials
		want string // the account's name
		err  error
	}{
		{"nobody", Credentials{}, "", nil},
		{"a password of the first source", Credentials{Name: "bob", Password: "b"}, "bob", nil},
		{"a password of the second", Credentials{Name: "carol", Password: "c"}, "carol", nil},
		{"the first that knows the account decides", Credentials{Name: "alice", Password: "other"}, "", ErrRefused},
		{"an unknown account is refused like any", Credentials{Name: "dave", Password: "d"}, "", ErrRefused},
		{"no password", Credentials{Name: "alice"}, "", ErrRefused},
		{"a token", Credentials{Token: "eyJh.b.c"}, "ci", nil},
		{"a token in the password's place, whatever the name", Credentials{Name: "x", Password: "eyJh.b.c"}, "ci", nil},
		{"a key in the password's place", Credentials{Name: "alice", Password: KeyPrefix + "1"}, "alice", nil},
		{"a password is no token", Credentials{Token: "a"}, "", ErrRefused},
		{"an unknown token", Credentials{Token: "eyJh.b.d"}, "", ErrRefused},
	} {
		c := newControl(t, ControlOptions{Passwords: []Passwords{first, second}, Tokens: []Tokens{bearer}, Throttle: ThrottleOptions{Off: true}})
		id, err := c.Identify(t.Context(), test.cred)
		if id.Name != test.want || !errors.Is(err, test.err) || test.err == nil && err != nil {
			t.Errorf("%s: got %q, %v, want %q, %v", test.name, id.Name, err, test.want, test.err)
		}
		if errors.Is(err, ErrUnknown) {
			t.Errorf("%s: the error tells that there is no such account", test.name)
		}
	}
	silent := &people{}
	c := newControl(t, ControlOptions{Passwords: []Passwords{silent}, Tokens: []Tokens{bearer}})
	if _, err := c.Identify(t.Context(), Credentials{Name: "x", Password: "eyJh.b.d"}); !errors.Is(err, ErrRefused) || silent.asked.Load() > 0 {
		t.Errorf("a token of elsewhere: got %v, and a source of passwords was told of it %d times", err, silent.asked.Load())
	}
	c = newControl(t, ControlOptions{Passwords: []Passwords{broken, second}})
	if id, err := c.Identify(t.Context(), Credentials{Name: "carol", Password: "c"}); err != nil || id.Name != "carol" {
		t.Errorf("a source that is down keeps out the account of another: %v", err)
	}
	if _, err := c.Identify(t.Context(), Credentials{Name: "bob", Password: "b"}); !errors.Is(err, down) || errors.Is(err, ErrRefused) {
		t.Errorf("an account that a source that is down may know: got %v, want its error", err)
	}
}

func TestVerifiedCredentialsAreRemembered(t *testing.T) {
	now := time.Now()
	source := &people{passwords: map[string]string{"alice": "a"}}
	c := newControl(t, ControlOptions{Passwords: []Passwords{source}, Now: func() time.Time { return now }})
	identify := func(want int64) {
		t.Helper()
		if _, err := c.Identify(t.Context(), password("alice", "a", "192.0.2.1")); err != nil {
			t.Fatal(err)
		}
		if got := source.asked.Load(); got != want {
			t.Errorf("the source was asked %d times, want %d", got, want)
		}
	}
	identify(1)
	now = now.Add(4 * time.Second)
	identify(1)
	now = now.Add(2 * time.Second)
	identify(2)
	if _, err := c.Identify(t.Context(), password("alice", "b", "192.0.2.1")); !errors.Is(err, ErrRefused) {
		t.Errorf("another password: %v", err)
	}
	// What the source knew already for three seconds counts for two.
	asOf := now
	source.identity = func(name string) Identity { return Identity{Name: name, Kind: User, AsOf: asOf} }
	now = now.Add(8 * time.Second)
	asOf = now.Add(-3 * time.Second)
	identify(4)
	now = now.Add(time.Second)
	identify(4)
	now = now.Add(time.Second)
	identify(5)
	// Nothing is good beyond its own end.
	source.identity = func(name string) Identity { return Identity{Name: name, Kind: User, Expires: now.Add(time.Second)} }
	now = now.Add(8 * time.Second)
	identify(6)
	source.identity = func(name string) Identity { return Identity{Name: name, Kind: User, Expires: now} }
	now = now.Add(time.Second)
	if _, err := c.Identify(t.Context(), password("alice", "a", "192.0.2.1")); !errors.Is(err, ErrRefused) {
		t.Errorf("expired credentials: %v", err)
	}
}

// TestEqualRequestsShareOneCheck: a client that opens ten connections costs one slow hash.
func TestEqualRequestsShareOneCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &people{passwords: map[string]string{"alice": "a"}}
		gate := make(chan struct{})
		source.identity = func(name string) Identity { <-gate; return Identity{Name: name, Kind: User} }
		c := newControl(t, ControlOptions{Passwords: []Passwords{source}})
		done := make(chan error)
		for range 10 {
			go func() {
				_, err := c.Identify(t.Context(), password("alice", "a", "192.0.2.1"))
				done <- err
			}()
		}
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Identify(gone, password("alice", "a", "192.0.2.1")); !errors.Is(err, context.Canceled) {
			t.Errorf("a request that has ended: %v", err)
		}
		close(gate)
		for range 10 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := source.asked.Load(); n != 1 {
			t.Errorf("the source was asked %d times", n)
		}
	})
}

func TestLocked(t *testing.T) {
	c := newControl(t, ControlOptions{})
	if locked, err := c.Locked(t.Context()); !locked || err != nil {
		t.Errorf("with nothing said: %v, %v", locked, err)
	}
	down := errors.New("the store is down")
	c = newControl(t, ControlOptions{Locked: func(context.Context) (bool, error) { return false, down }})
	if _, err := c.Locked(t.Context()); !errors.Is(err, down) {
		t.Errorf("got %v", err)
	}
}

// TestAuditLog holds every login, and no secret.
func TestAuditLog(t *testing.T) {
	var lines, logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logged, nil))
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := newControl(t, ControlOptions{
		Passwords: []Passwords{&people{passwords: map[string]string{"alice": "hush-a"}}},
		Tokens:    []Tokens{tokens{"eyJhush.b.c": {Name: "ci", Kind: Workload, Source: "forge"}, "eyJhush.i.c": {Name: "ci", Kind: Workload, Issued: now}}},
		Throttle:  ThrottleOptions{Account: 2, MaxDelay: -1},
		Audit:     NewAudit(&lines, log), Log: log, Now: func() time.Time { return now },
	})
	for _, cred := range []Credentials{
		password("alice", "hush-a", "192.0.2.1"), password("mallory", "hush-1", "192.0.2.9"), password("mallory", "hush-2", "192.0.2.9"),
		password("mallory", "hush-3", "192.0.2.9"), {Token: "eyJhush.b.c"}, {Token: "eyJhush.i.c"}, {Token: "eyJhush.x.c"}, {},
	} {
		cred.RequestID = "r1"
		_, _ = c.Identify(t.Context(), cred)
	}
	c.Record(Event{Event: EventDelete, Who: strings.Repeat("ü", 400), Outcome: OutcomeOK})
	want := []string{"alice ok", "mallory failed", "mallory failed", "mallory throttled", "ci ok", " failed"}
	got := strings.Split(strings.TrimSpace(lines.String()), "\n")
	for i, line := range got {
		var e Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if !e.Time.Equal(now) || len(e.Who) > maxText+3 {
			t.Errorf("line %d: %s", i, line)
		}
		if i < len(want) && (e.Who+" "+e.Outcome != want[i] || e.Event != EventLogin || e.RequestID != "r1") {
			t.Errorf("line %d: got %s, want %s", i, line, want[i])
		}
	}
	if len(got) != len(want)+1 {
		t.Errorf("%d lines, want %d", len(got), len(want)+1)
	}
	if strings.Contains(lines.String()+logged.String(), "hush") {
		t.Error("a secret was logged")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, fmt.Errorf("the disk is full") }

func TestAuditLogThatCannotBeWrittenIsToldOnce(t *testing.T) {
	var logged bytes.Buffer
	c := newControl(t, ControlOptions{Audit: NewAudit(brokenWriter{}, slog.New(slog.NewTextHandler(&logged, nil)))})
	c.Record(Event{})
	c.Record(Event{})
	if n := strings.Count(logged.String(), "the disk is full"); n != 1 {
		t.Errorf("logged %d times: %s", n, logged.String())
	}
}

func BenchmarkIdentifyRemembered(b *testing.B) {
	c, err := NewControl(ControlOptions{Passwords: []Passwords{&people{passwords: map[string]string{"alice": "a"}}}, Remember: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	cred := password("alice", "a", "192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Identify(b.Context(), cred); err != nil {
			b.Fatal(err)
		}
	}
}
