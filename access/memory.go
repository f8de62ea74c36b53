package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"time"

	"github.com/maypok86/otter/v2"
)

// maxRemembered bounds what is kept of credentials, by number.
const maxRemembered = 20_000

// memory keeps whose credentials were verified lately. It does not hold them: only their hash under a key that this process
// made at its start, from which no guess can be checked offline once the process is gone.
type memory struct {
	life   time.Duration
	now    func() time.Time
	secret []byte
	known  *otter.Cache[memoryKey, remembered]
}

type memoryKey [sha256.Size]byte

type remembered struct {
	identity Identity
	until    time.Time
}

func newMemory(life time.Duration, now func() time.Time) (*memory, error) {
	m := &memory{life: life, now: now, secret: make([]byte, sha256.Size)}
	rand.Read(m.secret)
	var err error
	m.known, err = otter.New(&otter.Options[memoryKey, remembered]{MaximumSize: maxRemembered})
	return m, err
}

// key is the hash of all that identifies somebody. Each part has its length before it, so that no two credentials share a key.
func (m *memory) key(c Credentials) (key memoryKey) {
	h := hmac.New(sha256.New, m.secret)
	part(h, c.Name)
	part(h, c.Password)
	part(h, c.Token)
	if c.Certificate != nil {
		part(h, string(c.Certificate.Raw))
	}
	h.Sum(key[:0])
	return key
}

func part(h hash.Hash, s string) {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(s)))
	h.Write(length[:])
	h.Write([]byte(s))
}

// recall returns what is remembered and still counts.
func (m *memory) recall(key memoryKey) (Identity, bool) {
	r, ok := m.known.GetIfPresent(key)
	if !ok || !m.now().Before(r.until) {
		return Identity{}, false
	}
	return r.identity, true
}

// keep remembers an identity for as long as it may be.
func (m *memory) keep(key memoryKey, id Identity) {
	if m.life < 0 {
		return
	}
	until := m.now().Add(m.life)
	if !id.AsOf.IsZero() && id.AsOf.Add(m.life).Before(until) {
		until = id.AsOf.Add(m.life)
	}
	if !id.Expires.IsZero() && id.Expires.Before(until) {
		until = id.Expires
	}
	m.known.Set(key, remembered{id, until})
}
