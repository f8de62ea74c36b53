package access

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// ThrottleOptions say how many logins may fail. The zero value has the defaults.
//
// Each account, and each address (of IPv6 each /64), has a number of failures that it may spend and that come back with
// time; who has none left is refused without a look at the password. An account that has logged in from an address
// within the last day is counted by itself there: neither a stranger who guesses at its password, nor another's broken
// script behind the same address, keeps it out. Counters are of one process.
type ThrottleOptions struct {
	Off bool

	Account      int           // failures of an account; 0: 10
	AccountEvery time.Duration // one comes back after; 0: 30 s
	Address      int           // failures from an address, whatever the account; 0: 50
	AddressEvery time.Duration // one comes back after; 0: 10 s

	// A failure is answered 250 ms after the request came, so that its time tells nothing of the account. After Free
	// failures each is answered twice as late as the one before, up to MaxDelay.
	Free     int           // 0: 3; negative: none
	MaxDelay time.Duration // 0: 2 s; negative: all are answered at once
}

// Bounds of what is kept, by number.
const (
	maxCounters = 50_000
	knownFor    = 24 * time.Hour
	firstDelay  = 250 * time.Millisecond
)

type throttle struct {
	o         ThrottleOptions
	now       func() time.Time
	accounts  *otter.Cache[string, *bucket]
	addresses *otter.Cache[netip.Addr, *bucket]
	known     *otter.Cache[accountAt, *bucket] // accounts that have logged in from an address
}

type accountAt struct {
	name    string // in lower case: to a directory ALICE is alice
	address netip.Addr
}

func newThrottle(o ThrottleOptions, now func() time.Time) (*throttle, error) {
	t := &throttle{o: o, now: now}
	setDefault(&t.o.Account, 10)
	setDefault(&t.o.AccountEvery, 30*time.Second)
	setDefault(&t.o.Address, 50)
	setDefault(&t.o.AddressEvery, 10*time.Second)
	setDefault(&t.o.Free, 3)
	setDefault(&t.o.MaxDelay, 2*time.Second)
	var err error
	if t.accounts, err = otter.New(&otter.Options[string, *bucket]{MaximumSize: maxCounters}); err != nil {
		return nil, err
	}
	if t.addresses, err = otter.New(&otter.Options[netip.Addr, *bucket]{MaximumSize: maxCounters}); err != nil {
		return nil, err
	}
	t.known, err = otter.New(&otter.Options[accountAt, *bucket]{MaximumSize: maxCounters})
	return t, err
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// bucket holds the failures that are left.
type bucket struct {
	mu    sync.Mutex
	size  int
	every time.Duration
	spent int       // since then
	since time.Time // when spent counted last
	good  time.Time // when a login succeeded last; of known ones
}

// take spends a failure, or says when the next one comes back.
func (b *bucket) take(now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refill(now)
	if b.spent >= b.size {
		return b.every - now.Sub(b.since)
	}
	b.spent++
	return 0
}

// give brings a failure back that did not happen.
func (b *bucket) give() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(b.spent-1, 0)
}

func (b *bucket) refill(now time.Time) {
	if b.spent == 0 {
		b.since = now
		return
	}
	back := int(now.Sub(b.since) / b.every)
	if back >= b.spent {
		b.spent, b.since = 0, now
		return
	}
	b.spent -= back
	b.since = b.since.Add(time.Duration(back) * b.every)
}

func (b *bucket) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent
}

// isKnown reports whether a login has succeeded lately enough.
func (b *bucket) isKnown(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return now.Sub(b.good) < knownFor
}

// attempt is a login under way. What it may cost is spent before its outcome is known, so that a thousand guesses at the
// same moment are no more than ten after each other.
type attempt struct {
	t       *throttle
	at      accountAt
	began   time.Time
	buckets []*bucket
}

// begin returns a *ThrottledError if there were too many failures. Only passwords count: a token can't be guessed, and one that
// has expired is no attack but what clients send before they fetch the next.
func (t *throttle) begin(c Credentials) (*attempt, error) {
	a := &attempt{t: t, began: time.Now(), at: accountAt{name: strings.ToLower(c.Name), address: network(c.Address)}}
	if t.o.Off || c.Password == "" {
		return a, nil
	}
	now := t.now()
	if c.Name != "" {
		if b, ok := t.known.GetIfPresent(a.at); ok && b.isKnown(now) {
			return a, a.spend(b, now, "account")
		}
	}
	if a.at.address.IsValid() {
		b := get(t.addresses, a.at.address, t.o.Address, t.o.AddressEvery)
		if err := a.spend(b, now, "address"); err != nil {
			return nil, err
		}
	}
	if c.Name != "" {
		b := get(t.accounts, a.at.name, t.o.Account, t.o.AccountEvery)
		if err := a.spend(b, now, "account"); err != nil {
			a.undo() // an account that is refused anyway costs its address nothing
			return nil, err
		}
	}
	return a, nil
}

// get is the bucket of a key, made if need be.
func get[K comparable](in *otter.Cache[K, *bucket], key K, size int, every time.Duration) *bucket {
	if b, ok := in.GetIfPresent(key); ok {
		return b
	}
	b, _ := in.SetIfAbsent(key, &bucket{size: size, every: every})
	return b
}

// network is the address, or the part of an IPv6 address that one customer has.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

func (a *attempt) spend(b *bucket, now time.Time, what string) error {
	if wait := b.take(now); wait > 0 {
		// Whole seconds, as the header Retry-After has them.
		return &ThrottledError{RetryAfter: (wait + time.Second - 1).Truncate(time.Second), What: what}
	}
	a.buckets = append(a.buckets, b)
	return nil
}

// undo gives back what begin has spent.
func (a *attempt) undo() {
	for _, b := range a.buckets {
		b.give()
	}
}

// succeeded gives back what begin has spent, and knows the account at the address from now on. What others have spent stays
// spent: one account of his own does not give a guesser new guesses at the others.
func (a *attempt) succeeded() {
	a.undo()
	if a.t.o.Off || a.at.name == "" || !a.at.address.IsValid() {
		return
	}
	b := get(a.t.known, a.at, a.t.o.Account, a.t.o.AccountEvery)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.good = a.t.now()
}

// failed waits until the failure may be answered, or until ctx ends.
func (a *attempt) failed(ctx context.Context) {
	if len(a.buckets) == 0 {
		return
	}
	spent := 0
	for _, b := range a.buckets {
		spent = max(spent, b.count())
	}
	over := min(max(spent-max(a.t.o.Free, 0), 0), 10)
	timer := time.NewTimer(time.Until(a.began.Add(min(firstDelay<<over, a.t.o.MaxDelay))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
