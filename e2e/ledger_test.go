//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// An act is a request that wants to change what a name, a tag or a digest, stands for.
type act struct {
	client, replica int
	digest          string    // what it shall stand for; "" for nothing
	began           time.Time // when the request was sent
	ended           time.Time // when it was answered or broke off; zero while it is under way
	answer          string    // a status, or why there is none
	done            bool      // the registry said that it was done
}

// A name is what is known of a tag, or of a manifest's digest, in a repository.
type name struct {
	repo, reference string
	late            time.Duration // how long after it broke off a request may still have its effect

	mu   sync.Mutex
	acts []*act
}

// begin notes a request that is sent now.
func (n *name) begin(client, replica int, digest string) *act {
	a := &act{client: client, replica: replica, digest: digest, began: time.Now()}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.acts = append(n.acts, a)
	return a
}

// end notes the answer. One that was refused has changed nothing.
func (n *name) end(a *act, answer string, done, refused bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	a.ended, a.answer, a.done = time.Now(), answer, done
	if refused {
		n.acts = slices.DeleteFunc(n.acts, func(other *act) bool { return other == a })
	}
}

// allowed are the digests that the name may stand for now, "" for nothing: those of the acts after which no other was begun and done. One
// that got no answer may have been done, or may yet be.
func (n *name) allowed() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	var last time.Time // the beginning of the latest act that was done
	for _, a := range n.acts {
		if a.done && a.began.After(last) {
			last = a.began
		}
	}
	all := map[string]bool{"": last.IsZero()}
	for _, a := range n.acts {
		until := a.ended
		if !a.done {
			until = until.Add(n.late)
		}
		if a.ended.IsZero() || !until.Before(last) {
			all[a.digest] = true
		}
	}
	if !all[""] {
		delete(all, "")
	}
	return all
}

// certain is the one digest that the name has to stand for; false if there are several.
func (n *name) certain() (digest string, ok bool) {
	all := n.allowed()
	for digest = range all {
	}
	return digest, len(all) == 1
}

// String tells all that was done to the name, for people.
func (n *name) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%s", n.repo, n.reference)
	for _, a := range n.acts {
		what := "delete"
		if a.digest != "" {
			what = a.digest
		}
		fmt.Fprintf(&b, "\n  %s to %s  client %d, replica %d: %s: %s", a.began.UTC().Format("15:04:05.000"),
			a.ended.UTC().Format("15:04:05.000"), a.client, a.replica, what, a.answer)
	}
	return b.String()
}

// A ledger has all names that clients have used.
type ledger struct {
	late time.Duration

	mu    sync.Mutex
	names map[string]*name
}

// of returns the name, which is new if nobody used it before.
func (l *ledger) of(repo, reference string) *name {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := repo + ":" + reference
	n := l.names[key]
	if n == nil {
		n = &name{repo: repo, reference: reference, late: l.late}
		l.names[key] = n
	}
	return n
}

// all returns the names, in order.
func (l *ledger) all() []*name {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []*name
	for _, n := range l.names {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *name) int { return strings.Compare(a.repo+":"+a.reference, b.repo+":"+b.reference) })
	return list
}

// TestLedger asks what a tag may point at after some acts.
func TestLedger(t *testing.T) {
	const late = 10 * time.Second
	type a struct {
		digest       string
		began, ended int // seconds; -1: it is under way
		done         bool
	}
	for text, c := range map[string]struct {
		acts []a
		want []string
	}{
		"nothing":                          {nil, []string{""}},
		"a push":                           {[]a{{"x", 1, 2, true}}, []string{"x"}},
		"no answer":                        {[]a{{"x", 1, 2, false}}, []string{"", "x"}},
		"under way":                        {[]a{{"x", 1, 2, true}, {"y", 3, -1, false}}, []string{"x", "y"}},
		"moved":                            {[]a{{"x", 1, 2, true}, {"y", 3, 4, true}}, []string{"y"}},
		"deleted":                          {[]a{{"x", 1, 2, true}, {"", 3, 4, true}}, []string{""}},
		"delete without an answer":         {[]a{{"x", 1, 2, true}, {"", 3, 4, false}}, []string{"", "x"}},
		"side by side":                     {[]a{{"x", 1, 4, true}, {"y", 3, 5, true}}, []string{"x", "y"}},
		"side by side, then a third":       {[]a{{"x", 1, 4, true}, {"y", 3, 5, true}, {"z", 6, 7, true}}, []string{"z"}},
		"no answer, it may come late":      {[]a{{"x", 1, 2, false}, {"y", 3, 4, true}}, []string{"x", "y"}},
		"no answer, too long ago to count": {[]a{{"x", 1, 2, false}, {"y", 13, 14, true}}, []string{"y"}},
	} {
		n := &name{late: late}
		at := func(second int) time.Time {
			if second < 0 {
				return time.Time{}
			}
			return time.Unix(int64(second), 0)
		}
		for _, one := range c.acts {
			n.acts = append(n.acts, &act{digest: one.digest, began: at(one.began), ended: at(one.ended), done: one.done})
		}
		if got := slices.Sorted(maps.Keys(n.allowed())); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", text, got, c.want)
		}
	}
}
