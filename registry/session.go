package registry

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// session is all there is of an upload: it travels in the Location, signed, or lies in an object
// under uploads/ that the Location names. Nobody has to keep it.
type session struct {
	ID        string // a UUID
	Repo      string
	Algorithm digest.Algorithm // of the hash, and of every digest that may name Data
	Born      time.Time        // whole seconds
	Step      uint64           // grows with each change
	Offset    int64            // bytes kept
	Data      string           // key of the bytes; "" before the first
	Whole     bool             // Data is there as it is; otherwise Writer continues it
	Hash      []byte           // state after Offset bytes; nil before the first
	Writer    []byte           // state of the driver's Writer
	Kept      string           // the element under uploads/<ID>/ that has the rest; then the last five are empty
}

// maxValue is the size in bytes up to which a session travels in its Location. URLs of a few KiB
// pass through every proxy.
const maxValue = 1 << 10

const (
	sessionVersion = 1
	signatureSize  = 16
)

var errSession = errors.New("not an upload session of this registry")

// short is the form of a session that lies whole in the object step.
func (s session) short(step string) session {
	s.Data, s.Whole, s.Hash, s.Writer, s.Kept = "", false, nil, nil, step
	return s
}

func (s *session) hasher() (hash.Hash, error) {
	h := s.Algorithm.Hash()
	if s.Hash == nil {
		return h, nil
	}
	u, ok := h.(interface{ UnmarshalBinary([]byte) error })
	if !ok {
		return nil, fmt.Errorf("hash state of %s can't be continued", s.Algorithm)
	}
	return h, u.UnmarshalBinary(s.Hash)
}

func (s *session) setHash(h hash.Hash) error {
	m, ok := h.(interface{ MarshalBinary() ([]byte, error) })
	if !ok {
		return fmt.Errorf("hash state of %s can't be kept", s.Algorithm)
	}
	var err error
	s.Hash, err = m.MarshalBinary()
	return err
}

// encode writes the session, unsigned.
func (s *session) encode() []byte {
	b := []byte{sessionVersion}
	text := func(t string) { b = append(binary.AppendUvarint(b, uint64(len(t))), t...) }
	text(s.ID)
	text(s.Repo)
	text(string(s.Algorithm))
	b = binary.AppendUvarint(b, uint64(s.Born.Unix()))
	b = binary.AppendUvarint(b, s.Step)
	b = binary.AppendUvarint(b, uint64(s.Offset))
	text(s.Data)
	whole := byte(0)
	if s.Whole {
		whole = 1
	}
	b = append(b, whole)
	text(string(s.Hash))
	text(string(s.Writer))
	text(s.Kept)
	return b
}

// decodeSession takes what encode writes and nothing else: a session has one form.
func decodeSession(b []byte) (session, error) {
	bad := false
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 || size > 1 && b[size-1] == 0 {
			bad, b = true, nil
			return 0
		}
		b = b[size:]
		return n
	}
	take := func(n uint64) []byte {
		if n > uint64(len(b)) {
			bad, b = true, nil
			return nil
		}
		var t []byte
		t, b = b[:n:n], b[n:]
		if n == 0 {
			return nil
		}
		return t
	}
	text := func() []byte { return take(number()) }
	if v := take(1); bad || v[0] != sessionVersion {
		return session{}, errSession
	}
	s := session{ID: string(text()), Repo: string(text()), Algorithm: digest.Algorithm(text())}
	s.Born = time.Unix(int64(number()), 0)
	s.Step = number()
	s.Offset = int64(number())
	s.Data = string(text())
	whole := take(1)
	s.Hash, s.Writer, s.Kept = text(), text(), string(text())
	if bad || len(b) > 0 || whole[0] > 1 || !s.sound() {
		return session{}, errSession
	}
	s.Whole = whole[0] == 1
	return s, nil
}

// sound reports whether what the session holds can be part of keys, and be counted with.
func (s *session) sound() bool {
	place := s.Data == "" || strings.HasPrefix(s.Data, dataPrefix) && drivers.CheckKey("registry", "session", s.Data) == nil
	return place && s.Offset >= 0 && validName(s.Repo) && !strings.Contains(s.ID+s.Kept, "/") && checkAlgorithm(s.Algorithm) == nil
}

// sign writes the session as the value for a Location.
func (r *Registry) sign(s *session) string {
	b := s.encode()
	return base64.RawURLEncoding.EncodeToString(append(b, r.signature(b)...))
}

// verify reads what sign wrote.
func (r *Registry) verify(value string) (session, error) {
	b, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(b) < signatureSize || base64.RawURLEncoding.EncodeToString(b) != value { // Decode passes over line ends and over bits at the end
		return session{}, errSession
	}
	b, signature := b[:len(b)-signatureSize], b[len(b)-signatureSize:]
	if !hmac.Equal(signature, r.signature(b)) {
		return session{}, errSession
	}
	return decodeSession(b)
}

func (r *Registry) signature(b []byte) []byte { return r.mac("upload session", b)[:signatureSize] }

// mac proves that a process of this cluster has written b, for that purpose.
func (r *Registry) mac(purpose string, b []byte) []byte {
	mac := hmac.New(sha256.New, r.secret)
	mac.Write([]byte(purpose + "\n"))
	mac.Write(b)
	return mac.Sum(nil)
}
