package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/longshore-registry/longshore/drivers"
)

// signingPrefix is where keys are kept.
const signingPrefix = "access/signing/"

// slotTime is how long a key signs. The number of a slot is how many of these have passed since 1970.
const slotTime = 24 * time.Hour

// keptSlots is how many slots before the present one keep their keys. A token of the last second of a slot lives for an hour at most; and
// an upload that was begun with it may go on for a day, which ends in the slot after the next.
const keptSlots = 2

// skew is how much clocks may differ: of replicas, and of who issues a token and who checks it.
const skew = time.Minute

// askAgain is how long it counts that a key is not there.
const askAgain = 5 * time.Second

// keyring has the keys that sign tokens: one for each slot, made by the first replica that needs it. Once read a key costs the
// store nothing.
type keyring struct {
	store  drivers.Driver
	extras drivers.Extras
	now    func() time.Time
	log    *slog.Logger

	reading chan struct{} // held by who asks the store
	mu      sync.RWMutex
	keys    map[int64]*signingKey
	asked   map[int64]time.Time // when the store was last asked for a slot
}

// signingKey is one that is ready for use.
type signingKey struct {
	slot    int64
	id      string // the "kid" of what it signs: the slot, a dot, and a hash of the public key
	private *ecdsa.PrivateKey
	signer  jose.Signer
}

// storedKey is the object at access/signing/SLOT.
type storedKey struct {
	Algorithm string    `json:"alg"`
	Made      time.Time `json:"made"`
	Key       []byte    `json:"key"` // PKCS #8
}

func newKeyring(store drivers.Driver, now func() time.Time, log *slog.Logger) *keyring {
	return &keyring{
		store: store, extras: drivers.ExtrasOf(store), now: now, log: log,
		reading: make(chan struct{}, 1), keys: map[int64]*signingKey{}, asked: map[int64]time.Time{},
	}
}

func slotOf(t time.Time) int64 { return t.Unix() / int64(slotTime/time.Second) }

// current is the key that signs now.
func (k *keyring) current(ctx context.Context) (*signingKey, error) {
	slot := slotOf(k.now())
	if key := k.known(slot); key != nil {
		return key, nil
	}
	return k.load(ctx, slot, true)
}

// byID is the key of that "kid", nil if there is none that may still be used.
func (k *keyring) byID(ctx context.Context, id string) (*signingKey, error) {
	slot, err := strconv.ParseInt(id[:max(strings.IndexByte(id, '.'), 0)], 10, 64)
	if now := slotOf(k.now()); err != nil || slot < now-keptSlots || slot > now+1 {
		return nil, nil
	}
	key := k.known(slot)
	// Without put-if-absent in the store two replicas may have made a key at the same moment, and one took the other's place.
	if key == nil || key.id != id && k.extras.Absent == nil {
		if key, err = k.load(ctx, slot, false); err != nil {
			return nil, err
		}
	}
	if key == nil || key.id != id {
		return nil, nil
	}
	return key, nil
}

func (k *keyring) known(slot int64) *signingKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[slot]
}

// lately reports whether the store was asked for the slot a moment ago.
func (k *keyring) lately(slot int64) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	at, ok := k.asked[slot]
	return ok && k.now().Sub(at) < askAgain
}

// load reads a key, or makes it. Nil if it is not there and was not to be made.
func (k *keyring) load(ctx context.Context, slot int64, needed bool) (*signingKey, error) {
	select {
	case k.reading <- struct{}{}:
		defer func() { <-k.reading }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if key := k.known(slot); key != nil && (needed || k.extras.Absent != nil || k.lately(slot)) {
		return key, nil
	}
	if !needed && k.lately(slot) {
		return nil, nil
	}
	key, err := k.read(ctx, slot)
	if errors.Is(err, drivers.ErrNotFound) && needed {
		if err = k.make(ctx, slot); err != nil && !errors.Is(err, drivers.ErrExists) {
			return nil, fmt.Errorf("a key for tokens can't be kept: %w", err)
		}
		if err == nil {
			k.removeOld(ctx, slot)
		}
		key, err = k.read(ctx, slot)
	}
	if err != nil && (needed || !errors.Is(err, drivers.ErrNotFound)) {
		return nil, fmt.Errorf("a key for tokens can't be read: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked[slot] = k.now()
	if key != nil {
		k.keys[slot] = key
	}
	for old := range k.keys {
		if old < slotOf(k.now())-keptSlots {
			delete(k.keys, old)
		}
	}
	return key, nil
}

func (k *keyring) read(ctx context.Context, slot int64) (*signingKey, error) {
	name := slotKey(slot)
	body, _, err := read(ctx, k.store, name)
	if err != nil {
		return nil, err
	}
	var stored storedKey
	var private *ecdsa.PrivateKey
	if err = json.Unmarshal(body, &stored); err == nil && stored.Algorithm == string(jose.ES256) {
		var any any
		any, err = x509.ParsePKCS8PrivateKey(stored.Key)
		private, _ = any.(*ecdsa.PrivateKey)
	}
	if err != nil || private == nil || private.Curve != elliptic.P256() {
		return nil, &drivers.Error{Op: "read signing key", Driver: "token", Key: name, Kind: drivers.ErrCorrupt, Err: err}
	}
	return newSigningKey(slot, private)
}

func newSigningKey(slot int64, private *ecdsa.PrivateKey) (*signingKey, error) {
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(public)
	key := &signingKey{slot: slot, id: strconv.FormatInt(slot, 10) + "." + hex.EncodeToString(sum[:8]), private: private}
	key.signer, err = jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: private, KeyID: key.id}},
		new(jose.SignerOptions).WithType("JWT"))
	return key, err
}

// make puts a new key for the slot, unless there is one. A key that two replicas made at the same moment in a store without put-if-absent is the one that was put
// last; what the other one signed is refused, and its clients ask for another token.
func (k *keyring) make(ctx context.Context, slot int64) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	body, err := json.Marshal(storedKey{Algorithm: string(jose.ES256), Made: k.now().UTC(), Key: der})
	if err != nil {
		return err
	}
	return putIfAbsent(ctx, k.store, k.extras, slotKey(slot), body)
}

// removeOld removes the keys of slots whose tokens are of no use any more. It is done when a key is made, so once a slot.
func (k *keyring) removeOld(ctx context.Context, slot int64) {
	var old []string
	for entry, err := range k.store.List(ctx, signingPrefix, "", "") {
		if err != nil {
			k.log.Warn("old keys for tokens can't be listed; they stay", "err", err)
			return
		}
		n, err := strconv.ParseInt(strings.TrimPrefix(entry.Key, signingPrefix), 10, 64)
		if err == nil && n < slot-keptSlots {
			old = append(old, entry.Key)
		}
	}
	if len(old) == 0 {
		return
	}
	if err := k.store.Delete(ctx, old...); err != nil {
		k.log.Warn("old keys for tokens can't be removed; they are of no use to anyone", "err", err)
	}
}

func slotKey(slot int64) string { return signingPrefix + strconv.FormatInt(slot, 10) }

// maxObject is the most that is read of an object, in bytes.
const maxObject = 64 << 10

// read is a whole small object.
func read(ctx context.Context, store drivers.Driver, key string) ([]byte, drivers.Info, error) {
	body, info, err := store.Reader(ctx, key, 0, -1)
	if err != nil {
		return nil, info, err
	}
	b, err := io.ReadAll(io.LimitReader(body, maxObject))
	return b, info, errors.Join(err, body.Close())
}

// putIfAbsent returns ErrExists if there is an object; where the store can't tell in one step it looks before.
func putIfAbsent(ctx context.Context, store drivers.Driver, extras drivers.Extras, key string, body []byte) error {
	if extras.Absent != nil {
		return extras.Absent.PutIfAbsent(ctx, key, body)
	}
	if _, err := store.Stat(ctx, key); !errors.Is(err, drivers.ErrNotFound) {
		if err == nil {
			err = &drivers.Error{Op: "put if absent", Driver: "token", Key: key, Kind: drivers.ErrExists}
		}
		return err
	}
	return store.Put(ctx, key, body)
}
