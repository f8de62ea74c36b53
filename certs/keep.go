package certs

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/longshore-registry/longshore/drivers"
)

// prefix is that of all keys in the store; docs/storage-format.md describes them.
const prefix = "certs/"

// MinSecret is the least length of a secret in bytes. Keys are derived from it without a slow function, so it has to be a random
// one: "openssl rand -base64 32" makes one of 44.
const MinSecret = 32

// ErrNoSecret says that private keys may not be kept in a store: others than the registry can read it, and there is no secret to encrypt
// them with.
var ErrNoSecret = errors.New("the store may be read by others, and there is no secret to encrypt private keys with")

// ErrWrongSecret says that what is kept was encrypted with another secret.
var ErrWrongSecret = errors.New("encrypted with another secret")

// Keep holds certificates, and private keys encrypted, below certs/ in a store, for all replicas.
type Keep struct {
	store   drivers.Driver
	absent  drivers.AbsentPutter // nil if the store can't
	secret  []byte
	private bool
}

// NewKeep makes a Keep. secret encrypts private keys; it is "" or has MinSecret bytes at least. private says that nobody but the
// registry reads the store, so that they may be kept as they are if there is no secret.
func NewKeep(store drivers.Driver, secret string, private bool) (*Keep, error) {
	if secret != "" && len(secret) < MinSecret {
		return nil, fmt.Errorf("the secret has %d bytes, and %d are the least", len(secret), MinSecret)
	}
	return &Keep{store: store, absent: drivers.ExtrasOf(store).Absent, secret: []byte(secret), private: private}, nil
}

// maxObject is more than any certificate with its chain has.
const maxObject = 1 << 20

func (k *Keep) get(ctx context.Context, name string) ([]byte, error) {
	body, _, err := k.store.Reader(ctx, prefix+name, 0, maxObject)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // all of it has been read, or the error is known
	return io.ReadAll(body)
}

// putNew writes an object where there is none, and returns what is there then: body, or what another replica has written. On a store
// that can't do so in one step the last of two replicas that start a new store at the same moment wins.
func (k *Keep) putNew(ctx context.Context, name string, body []byte) ([]byte, error) {
	var err error
	if k.absent != nil {
		err = k.absent.PutIfAbsent(ctx, prefix+name, body)
	} else {
		err = k.store.Put(ctx, prefix+name, body)
	}
	if err != nil && !errors.Is(err, drivers.ErrExists) {
		return nil, err
	}
	return k.get(ctx, name)
}

// sealed is an encrypted object: AES-256-GCM with a key that HKDF-SHA-256 derives from the secret and the salt. The name of the object is
// authenticated with it.
type sealed struct {
	Sealed int    `json:"sealed"` // the version of this form: 1
	Salt   []byte `json:"salt"`
	Nonce  []byte `json:"nonce"`
	Data   []byte `json:"data"`
}

func (k *Keep) cipher(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.secret, salt, "longshore certs", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal encrypts body, if there is a secret. ErrNoSecret if it needs one.
func (k *Keep) seal(name string, body []byte) ([]byte, error) {
	if len(k.secret) == 0 {
		if !k.private {
			return nil, ErrNoSecret
		}
		return body, nil
	}
	s := sealed{Sealed: 1, Salt: make([]byte, 32), Nonce: make([]byte, 12)}
	rand.Read(s.Salt)
	rand.Read(s.Nonce)
	aead, err := k.cipher(s.Salt)
	if err != nil {
		return nil, err
	}
	s.Data = aead.Seal(nil, s.Nonce, body, []byte(name))
	return json.Marshal(s)
}

// open decrypts what seal made. What is not encrypted is returned as it is: it was made before there was a secret.
func (k *Keep) open(name string, body []byte) ([]byte, error) {
	var s sealed
	if json.Unmarshal(body, &s) != nil || s.Sealed == 0 {
		return body, nil
	}
	if s.Sealed != 1 {
		return nil, fmt.Errorf("%s%s is encrypted in a form of a newer version of longshore", prefix, name)
	}
	if len(k.secret) == 0 {
		return nil, fmt.Errorf("%s%s is encrypted: %w", prefix, name, ErrNoSecret)
	}
	aead, err := k.cipher(s.Salt)
	if err != nil {
		return nil, err
	}
	if len(s.Nonce) != aead.NonceSize() {
		return nil, fmt.Errorf("%s%s: %w", prefix, name, drivers.ErrCorrupt)
	}
	plain, err := aead.Open(nil, s.Nonce, s.Data, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("%s%s: %w", prefix, name, ErrWrongSecret)
	}
	return plain, nil
}
