// Package phc makes and checks hashes of passwords, written as crypt(3) and PHC strings
// (https://github.com/P-H-C/phc-string-format) have them: argon2id, which it makes, and bcrypt, which it checks too.
package phc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Cost is what a new argon2id hash costs to compute.
type Cost struct {
	Memory uint32 // KiB
	Time   uint32 // passes
}

// Normal is the first choice of the OWASP Password Storage Cheat Sheet that is small in memory, 19 MiB: a registry checks a
// password on many requests.
func Normal() Cost { return Cost{19 << 10, 2} }

// Lengths in new hashes, in bytes.
const (
	saltLength = 16
	sumLength  = 32
)

// Bounds of hashes that others have made, so that no line of a file makes each login cost a gigabyte.
const (
	maxMemory  = 256 << 10 // KiB
	maxTime    = 16
	maxThreads = 16
	maxCost    = 15 // of bcrypt; about two seconds
)

// Hash is a hash of a password. Hashes may be compared with ==.
type Hash struct {
	text string // of bcrypt; "" for argon2id
	argon
}

type argon struct {
	memory, time uint32
	threads      uint8
	salt, sum    string // bytes
}

// New hashes a password. An error is ctx's.
func New(ctx context.Context, password string, c Cost) (Hash, error) {
	salt := make([]byte, saltLength)
	rand.Read(salt)
	h := Hash{argon: argon{memory: c.Memory, time: c.Time, threads: 1, salt: string(salt)}}
	sum, err := h.compute(ctx, password, sumLength)
	h.sum = string(sum)
	return h, err
}

// String is the hash as Parse reads it.
func (h Hash) String() string {
	if h.text != "" {
		return h.text
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		b64.EncodeToString([]byte(h.salt)), b64.EncodeToString([]byte(h.sum)))
}

// ErrKind says that a text is no hash of a kind that is taken.
var ErrKind = errors.New("is neither bcrypt ($2a$, $2b$, $2y$) nor argon2id ($argon2id$)")

// Parse reads a hash. The errors do not repeat it.
func Parse(text string) (Hash, error) {
	switch {
	case strings.HasPrefix(text, "$argon2id$"):
		return parseArgon(text)
	case strings.HasPrefix(text, "$2a$"), strings.HasPrefix(text, "$2b$"), strings.HasPrefix(text, "$2y$"):
		cost, err := bcrypt.Cost([]byte(text))
		if err != nil || len(text) != 60 {
			return Hash{}, errors.New("is not a whole bcrypt hash, which has 60 characters")
		}
		if cost > maxCost {
			return Hash{}, fmt.Errorf("has the bcrypt cost %d, which makes each login take seconds; at most %d is taken", cost, maxCost)
		}
		return Hash{text: text}, nil
	}
	return Hash{}, ErrKind
}

func parseArgon(text string) (Hash, error) {
	bad := errors.New("is not a whole argon2id hash: $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return Hash{}, bad
	}
	var h Hash
	for _, p := range strings.Split(parts[3], ",") {
		key, value, _ := strings.Cut(p, "=")
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n == 0 {
			return Hash{}, bad
		}
		switch limit := map[string]uint64{"m": maxMemory, "t": maxTime, "p": maxThreads}[key]; {
		case limit == 0:
			return Hash{}, bad
		case n > limit:
			return Hash{}, fmt.Errorf("has the argon2id cost %s=%d; at most %d is taken", key, n, limit)
		}
		switch key {
		case "m":
			h.memory = uint32(n)
		case "t":
			h.time = uint32(n)
		case "p":
			h.threads = uint8(n)
		}
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(salt) < 8 {
		return Hash{}, bad
	}
	sum, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(sum) < 16 || len(sum) > 64 || h.memory == 0 || h.time == 0 || h.threads == 0 {
		return Hash{}, bad
	}
	h.salt, h.sum = string(salt), string(sum)
	return h, nil
}

// Matches reports whether the password is the one that was hashed. An error is ctx's.
func (h Hash) Matches(ctx context.Context, password string) (bool, error) {
	if h.text != "" {
		if err := enter(ctx); err != nil {
			return false, err
		}
		defer leave()
		return bcrypt.CompareHashAndPassword([]byte(h.text), []byte(password)) == nil, nil
	}
	sum, err := h.compute(ctx, password, uint32(len(h.sum)))
	return err == nil && subtle.ConstantTimeCompare(sum, []byte(h.sum)) == 1, err
}

func (h Hash) compute(ctx context.Context, password string, length uint32) ([]byte, error) {
	if err := enter(ctx); err != nil {
		return nil, err
	}
	defer leave()
	return argon2.IDKey([]byte(password), []byte(h.salt), h.time, h.memory, h.threads, length), nil
}

// Class tells hashes apart that take different time to check.
func (h Hash) Class() string {
	if h.text != "" {
		return h.text[:len("$2y$10$")]
	}
	return fmt.Sprintf("$argon2id$m=%d,t=%d,p=%d", h.memory, h.time, h.threads)
}

// Decoy is a hash that costs as much to check as h and that no password is known for. It makes a login with an unknown
// name take as long as one with a known name.
func (h Hash) Decoy() Hash {
	if h.text != "" {
		// 22 characters of salt and 31 of sum; of the salt's last only two bits count, and "." is none of them.
		return Hash{text: h.Class() + strings.Repeat(".", 22) + strings.Repeat("x", 31)}
	}
	salt, sum := make([]byte, len(h.salt)), make([]byte, len(h.sum))
	rand.Read(salt)
	rand.Read(sum)
	h.salt, h.sum = string(salt), string(sum)
	return h
}

// Decoy is that of a hash of the cost.
func (c Cost) Decoy() Hash {
	return Hash{argon: argon{memory: c.Memory, time: c.Time, threads: 1, salt: strings.Repeat("s", saltLength), sum: strings.Repeat("x", sumLength)}}.Decoy()
}

// gate bounds how many hashes are computed at once, and with that the memory that they take. It belongs to the process, since the
// memory does.
var gate = make(chan struct{}, min(max(runtime.NumCPU(), 2), 4))

func enter(ctx context.Context) error {
	select {
	case gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func leave() { <-gate }
