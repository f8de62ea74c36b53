package gcstest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Account is a service account with a key of its own.
type Account struct {
	Email string

	key *rsa.PrivateKey
}

// NewAccount makes an account with a new key.
func NewAccount(email string) (*Account, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return &Account{Email: email, key: key}, err
}

// File is a credentials file of the account, whose tokens come from tokenURL.
func (a *Account) File(tokenURL string) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return "", err
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": a.Email, "private_key_id": "k", "token_uri": tokenURL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	return string(file), err
}

// Sign signs as IAM's signBlob does.
func (a *Account) Sign(blob []byte) ([]byte, error) {
	sum := sha256.Sum256(blob)
	return rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
}

// Check returns why the service would refuse a request with a V4 signed URL that only the Host is signed of:
// https://cloud.google.com/storage/docs/access-control/signed-urls
func (a *Account) Check(method, host string, u *url.URL) error {
	q := u.Query()
	signature, err := hex.DecodeString(q.Get("X-Goog-Signature"))
	if err != nil {
		return err
	}
	scope, found := strings.CutPrefix(q.Get("X-Goog-Credential"), a.Email+"/")
	if !found {
		return errors.New("signed by another account")
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h // ports are not signed
	}
	q.Del("X-Goog-Signature")
	canonical := strings.Join([]string{method, u.EscapedPath(), strings.ReplaceAll(q.Encode(), "+", "%20"), "host:" + host, "", "host", "UNSIGNED-PAYLOAD"}, "\n")
	sum := sha256.Sum256([]byte(canonical))
	text := sha256.Sum256(fmt.Appendf(nil, "GOOG4-RSA-SHA256\n%s\n%s\n%x", q.Get("X-Goog-Date"), scope, sum))
	if err := rsa.VerifyPKCS1v15(&a.key.PublicKey, crypto.SHA256, text[:], signature); err != nil {
		return err
	}
	made, err := time.Parse("20060102T150405Z", q.Get("X-Goog-Date"))
	if err != nil {
		return err
	}
	seconds, err := strconv.Atoi(q.Get("X-Goog-Expires"))
	if err != nil {
		return err
	}
	if time.Since(made) > time.Duration(seconds)*time.Second {
		return errors.New("the URL has expired")
	}
	return nil
}
