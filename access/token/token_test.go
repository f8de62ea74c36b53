package token

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newIssuer(t *testing.T, store drivers.Driver, c *clock) *Issuer {
	t.Helper()
	i, err := NewIssuer(IssuerOptions{Store: store, Now: c.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// plain is a store with nothing beyond the seven methods.
type plain struct{ drivers.Driver }

func (plain) Extras() drivers.Extras { return drivers.Extras{} }

// counted tells how many requests a store gets.
type counted struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counted) hook(_ context.Context, op, _ string) memory.Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[op]++
	return memory.Outcome{}
}

func (c *counted) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, one := range c.n {
		n += one
	}
	return n
}

var alice = access.Identity{
	Name: "alice", Kind: access.User, Source: "users", Groups: []string{"dev", "ops"}, Admin: true, Generation: "1",
	Claims: map[string]any{"repository": "org/app"},
}

func mustIssue(t *testing.T, i *Issuer, id access.Identity, granted ...entry) string {
	t.Helper()
	made, err := i.issue(t.Context(), id, "registry.test", granted)
	if err != nil {
		t.Fatal(err)
	}
	return made.token
}

func TestATokenSaysWhoItIsFor(t *testing.T) {
	c := newClock()
	store := memory.New(memory.Options{})
	a, b := newIssuer(t, store, c), newIssuer(t, store, c)
	token := mustIssue(t, a, alice, entry{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}}, entry{Type: "registry", Name: "catalog", Actions: []string{"*"}})
	id, err := b.CheckToken(t.Context(), token) // another replica
	if err != nil {
		t.Fatal(err)
	}
	if id.Name != "alice" || id.Kind != access.User || id.Source != "users" || !id.Admin || strings.Join(id.Groups, " ") != "dev ops" || id.Scope != nil ||
		id.Claims["repository"] != "org/app" || strings.Join(id.Services, " ") != "registry.test" {
		t.Errorf("got %+v", id)
	}
	for _, test := range []struct {
		action access.Action
		repo   string
		want   bool
	}{
		{access.Pull, "team/app", true}, {access.Push, "team/app", true}, {access.TagMove, "team/app", true}, {access.Delete, "team/app", false},
		{access.Pull, "team/app2", false}, {access.Pull, "team", false}, {access.Catalogue, "", true}, {access.Admin, "", false},
	} {
		if got := id.TokenCovers(test.action, test.repo); got != test.want {
			t.Errorf("%s %s: %v", test.action, test.repo, got)
		}
	}
	robot := access.Identity{Name: "robot$ci", Kind: access.Robot, Scope: []access.Grant{}}
	if id, err = b.CheckToken(t.Context(), mustIssue(t, a, robot)); err != nil || id.Scope == nil || id.Token == nil || len(id.Scope)+len(id.Token) > 0 {
		t.Errorf("a robot that may nothing: %+v, %v", id, err)
	}
}

func TestATokenEnds(t *testing.T) {
	c := newClock()
	i := newIssuer(t, memory.New(memory.Options{}), c)
	token := mustIssue(t, i, alice)
	short := alice
	short.Expires = c.Now().Add(20 * time.Second)
	ends := mustIssue(t, i, short)
	for _, test := range []struct {
		move        time.Duration
		token, ends error
	}{
		{-59 * time.Second, nil, nil},
		{59*time.Second + 79*time.Second, nil, nil},
		{2 * time.Second, nil, access.ErrExpired},
		{5*time.Minute - 22*time.Second, nil, access.ErrExpired},
		{2 * time.Second, access.ErrExpired, access.ErrExpired},
		{-8 * time.Minute, access.ErrRefused, access.ErrRefused}, // before it began
	} {
		c.move(test.move)
		id, err := i.CheckToken(t.Context(), token)
		if !errors.Is(err, test.token) || (err == nil) != (test.token == nil) {
			t.Errorf("at %v: %v, want %v", c.Now(), err, test.token)
		}
		if errors.Is(err, access.ErrExpired) && id.Name != "alice" {
			t.Error("an expired token does not say whose it was")
		}
		if _, err = i.CheckToken(t.Context(), ends); !errors.Is(err, test.ends) || (err == nil) != (test.ends == nil) {
			t.Errorf("of credentials that end: at %v: %v, want %v", c.Now(), err, test.ends)
		}
	}
}

func TestKeysAreMadeOnce(t *testing.T) {
	for _, test := range []struct {
		name string
		wrap func(drivers.Driver) drivers.Driver
	}{
		{"store that compares", func(d drivers.Driver) drivers.Driver { return d }},
		{"plain store", func(d drivers.Driver) drivers.Driver { return plain{d} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClock()
			store := test.wrap(memory.New(memory.Options{}))
			var issuers []*Issuer
			for range 8 {
				issuers = append(issuers, newIssuer(t, store, c))
			}
			tokens := make([]string, len(issuers))
			var all sync.WaitGroup
			for n, i := range issuers {
				all.Go(func() {
					made, err := i.issue(t.Context(), alice, "registry.test", nil)
					if err != nil {
						t.Error(err)
					}
					tokens[n] = made.token
				})
			}
			all.Wait()
			c.move(askAgain + time.Second)
			refused := 0
			for _, i := range issuers {
				for _, token := range tokens {
					if _, err := i.CheckToken(t.Context(), token); err != nil {
						refused++
					}
				}
			}
			if refused > 0 && test.name != "plain store" {
				t.Errorf("%d tokens were refused", refused)
			}
			// However the race went, what is issued from now on counts everywhere.
			c.move(slotTime)
			token := mustIssue(t, issuers[0], alice)
			for _, i := range issuers[1:] {
				if _, err := i.CheckToken(t.Context(), token); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestKeysOfOldSlotsGo(t *testing.T) {
	c := newClock()
	store := memory.New(memory.Options{})
	i := newIssuer(t, store, c)
	if _, err := i.issueRefresh(t.Context(), alice, "registry.test"); err != nil {
		t.Fatal(err)
	}
	var first string
	for range 5 {
		token := mustIssue(t, i, alice)
		if first == "" {
			first = token
		}
		c.move(slotTime)
	}
	var left []string
	for entry, err := range store.List(t.Context(), "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, entry.Key)
	}
	now := slotOf(c.Now()) - 1 // no key was needed yet after the last move
	want := []string{slotKey(now - 2), slotKey(now - 1), slotKey(now), refreshKey}
	if strings.Join(left, " ") != strings.Join(want, " ") {
		t.Errorf("there is %q, want %q", left, want)
	}
	if _, err := newIssuer(t, store, c).CheckToken(t.Context(), first); !errors.Is(err, access.ErrUnknown) {
		t.Errorf("a token of days ago: %v", err)
	}
}

func TestTokensCostTheStoreNothing(t *testing.T) {
	c := newClock()
	count := &counted{n: map[string]int{}}
	store := memory.New(memory.Options{Hook: count.hook})
	a, b := newIssuer(t, store, c), newIssuer(t, store, c)
	token := mustIssue(t, a, alice)
	if _, err := b.CheckToken(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	before := count.total()
	for range 100 {
		token := mustIssue(t, a, alice)
		for range 3 {
			if _, err := b.CheckToken(t.Context(), token); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := count.total() - before; n != 0 {
		t.Errorf("100 tokens cost %d requests: %v", n, count.n)
	}
	// Made-up keys: a look at each slot that may have one, not a look at each token.
	before = count.total()
	other := newIssuer(t, memory.New(memory.Options{}), c)
	for range 100 {
		if _, err := b.CheckToken(t.Context(), mustIssue(t, other, alice)); !errors.Is(err, access.ErrUnknown) {
			t.Fatalf("a key of another registry: %v", err)
		}
	}
	for slot := slotOf(c.Now()) - 500; slot < slotOf(c.Now())+500; slot++ {
		if key, err := b.keys.byID(t.Context(), fmt.Sprintf("%d.0123", slot)); key != nil || err != nil {
			t.Fatal(key, err)
		}
	}
	if n := count.total() - before; n > keptSlots+1 {
		t.Errorf("made-up keys cost %d requests", n)
	}
}

func TestAStoreThatIsDown(t *testing.T) {
	c := newClock()
	store := memory.New(memory.Options{})
	token := mustIssue(t, newIssuer(t, store, c), alice)
	down := errors.New("down")
	sick := memory.New(memory.Options{Hook: func(context.Context, string, string) memory.Outcome { return memory.Outcome{Err: down} }})
	i := newIssuer(t, sick, c)
	if _, err := i.CheckToken(t.Context(), token); !errors.Is(err, down) || errors.Is(err, access.ErrRefused) {
		t.Errorf("checking: %v", err)
	}
	if _, err := i.issue(t.Context(), alice, "registry.test", nil); !errors.Is(err, down) {
		t.Errorf("issuing: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	i.keys.reading <- struct{}{} // somebody else asks, and does not come back
	if _, err := i.issue(ctx, alice, "registry.test", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who has gone: %v", err)
	}
}

func TestNewIssuer(t *testing.T) {
	for _, life := range []time.Duration{-time.Second, time.Second, 2 * time.Hour} {
		if _, err := NewIssuer(IssuerOptions{Store: memory.New(memory.Options{}), Life: life}); err == nil {
			t.Errorf("a life of %v was taken", life)
		}
	}
}

func BenchmarkCheckToken(b *testing.B) {
	i, err := NewIssuer(IssuerOptions{Store: memory.New(memory.Options{})})
	if err != nil {
		b.Fatal(err)
	}
	made, err := i.issue(b.Context(), alice, "registry.test", []entry{{Type: "repository", Name: "team/app", Actions: []string{"pull", "push"}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			if _, err := i.CheckToken(b.Context(), made.token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			if _, err := i.verify(b.Context(), made.token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("issue", func(b *testing.B) {
		for b.Loop() {
			if _, err := i.issue(b.Context(), alice, "registry.test", nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
