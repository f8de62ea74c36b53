package certs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"github.com/longshore-registry/longshore/drivers"
)

// How long one replica asks for a certificate before another one may, and how often those look whether it is there.
const (
	leaseTime  = 2 * time.Minute
	leaseLooks = 500 * time.Millisecond
)

// acmeStore is autocert's cache in a Keep: the certificates with their keys, the account's key, and the answers to challenges, all
// encrypted if there is a secret. Of several replicas that miss the same certificate one asks for it, the others wait.
type acmeStore struct {
	keep *Keep
	id   string // of this process, in its leases
	now  func() time.Time
}

func newACMEStore(k *Keep) *acmeStore { return &acmeStore{keep: k, id: rand.Text(), now: time.Now} }

// acmeName is the name in the Keep for a key of autocert: NAME, NAME+rsa, NAME+token, TOKEN+http-01 or acme_account+key. A key of a
// store may not hold a plus.
func acmeName(key string) string {
	name, kind, ok := strings.Cut(key, "+")
	if !ok {
		kind = "ecdsa"
	}
	return "acme/" + kind + "/" + name
}

// leaseName is that of the lease for a certificate; false for what is none.
func leaseName(key string) (string, bool) {
	name, kind, ok := strings.Cut(key, "+")
	if ok && kind != "rsa" {
		return "", false
	}
	return "acme/lease/" + strings.TrimSuffix(name+"-"+kind, "-"), true
}

// Get returns what is kept. For a certificate that is missing it returns ErrCacheMiss, which makes autocert ask for it, to one replica
// at a time.
func (s *acmeStore) Get(ctx context.Context, key string) ([]byte, error) {
	name := acmeName(key)
	for {
		body, err := s.keep.get(ctx, name)
		if err == nil {
			return s.keep.open(name, body)
		}
		if !errors.Is(err, drivers.ErrNotFound) {
			return nil, err
		}
		lease, ok := leaseName(key)
		if !ok || s.keep.absent == nil {
			return nil, autocert.ErrCacheMiss
		}
		if held, err := s.take(ctx, lease); err != nil {
			return nil, err
		} else if held {
			return nil, autocert.ErrCacheMiss
		}
		wait := time.NewTimer(leaseLooks)
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, ctx.Err()
		case <-wait.C:
		}
	}
}

// lease says which process asks for a certificate, and until when others wait.
type lease struct {
	By    string    `json:"by"`
	Until time.Time `json:"until"`
}

// take reports whether this process may ask. That two take over an old lease at the same moment costs a second certificate and harms
// nothing.
func (s *acmeStore) take(ctx context.Context, name string) (bool, error) {
	body, err := json.Marshal(lease{s.id, s.now().Add(leaseTime)})
	if err != nil {
		return false, err
	}
	is, err := s.keep.putNew(ctx, name, body)
	if errors.Is(err, drivers.ErrNotFound) { // given back meanwhile
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var l lease
	if json.Unmarshal(is, &l) == nil && s.now().Before(l.Until) {
		return l.By == s.id, nil
	}
	return false, s.keep.store.Delete(ctx, prefix+name)
}

// Put keeps body, and ends this process's lease.
func (s *acmeStore) Put(ctx context.Context, key string, body []byte) error {
	name := acmeName(key)
	body, err := s.keep.seal(name, body)
	if err != nil {
		return err
	}
	if err := s.keep.store.Put(ctx, prefix+name, body); err != nil {
		return err
	}
	if l, ok := leaseName(key); ok {
		return s.keep.store.Delete(ctx, prefix+l)
	}
	return nil
}

// Delete removes what is kept.
func (s *acmeStore) Delete(ctx context.Context, key string) error {
	return s.keep.store.Delete(ctx, prefix+acmeName(key))
}
