package registry

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/longshore-registry/longshore/drivers"
)

// mostLooked is how many names a page of VisibleCatalog looks at: ten requests to most stores.
const mostLooked = 10_000

// VisibleCatalog is Catalog for somebody who may not see all: repositories for which visible says no are left out. The page ends when it has n, or
// when many more were looked at, so it may be short, or empty, and others follow: then after is where it goes on, sealed, since
// it may be a name that the client shall not see. after, if it is not "" and is one of ours, counts in place of last.
func (r *Registry) VisibleCatalog(ctx context.Context, last, after string, n int, visible func(repo string) bool) (repos []string, more bool, next string, err error) {
	start := ""
	if last != "" {
		start = catalogKey(position(last, MaxName))
	}
	if name, ok := r.unseal(after); ok {
		start = catalogKey(name)
	}
	repos = []string{}
	if n == 0 {
		return repos, false, "", nil
	}
	looked, at := 0, ""
	for entry, err := range r.driver.List(drivers.WithListLimit(ctx, 0), catalogPrefix, start, "") {
		if err != nil {
			return nil, false, "", err
		}
		if looked == mostLooked {
			next, err = r.seal(at)
			return repos, true, next, err
		}
		looked++
		at = catalogName(entry.Key)
		if !visible(at) {
			continue
		}
		if len(repos) == n {
			return repos, true, "", nil
		}
		repos = append(repos, at)
	}
	return repos, false, "", nil
}

// seal hides a text in one that only this registry can read.
func (r *Registry) seal(text string) (string, error) {
	aead, err := r.sealing()
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, []byte(text), nil)), nil
}

// unseal reads it.
func (r *Registry) unseal(sealed string) (text string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return "", false
	}
	aead, err := r.sealing()
	if err != nil {
		return "", false
	}
	b, err = aead.Open(nil, nil, b, nil)
	return string(b), err == nil
}

func (r *Registry) sealing() (cipher.AEAD, error) {
	mac := hmac.New(sha256.New, r.secret)
	mac.Write([]byte("position in the catalogue\n"))
	block, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
