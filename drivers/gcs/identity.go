package gcs

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/credentials/impersonate"
	"cloud.google.com/go/auth/httptransport"
	"cloud.google.com/go/compute/metadata"
	"cloud.google.com/go/storage"

	"github.com/longshore-registry/longshore/drivers"
)

// scope is the least that covers reading, writing and signing.
// https://cloud.google.com/storage/docs/oauth-scopes
const scope = "https://www.googleapis.com/auth/cloud-platform"

// identity is whose rights the driver uses.
type identity struct {
	credentials *auth.Credentials // nil: none
	text        string
	account     string       // e-mail address of the service account that signs; "" if unknown
	key         []byte       // PEM of its private key, if the credentials hold one
	iam         *http.Client // signs for account where there is no key
}

// canSign reports whether URLs can be signed.
func (i identity) canSign() bool { return i.account != "" && (i.key != nil || i.iam != nil) }

// file is what the driver reads of a credentials file.
type file struct {
	Type        string `json:"type"`
	ClientEmail string `json:"client_email"`
	PrivateKey  string `json:"private_key"`
	URL         string `json:"service_account_impersonation_url"`
}

// findIdentity follows the configuration, else the application default credentials:
// https://cloud.google.com/docs/authentication/application-default-credentials
func (d *Driver) findIdentity(ctx context.Context) (identity, error) {
	if d.c.Anonymous {
		return identity{text: "none (anonymous)"}, nil
	}
	options := &credentials.DetectOptions{Scopes: []string{scope}, Client: &http.Client{Transport: d.requests}}
	content, where, field := []byte(d.c.CredentialsJSON), "credentials_json", "credentials_json"
	if d.c.CredentialsFile != "" {
		var err error
		if content, err = os.ReadFile(d.c.CredentialsFile); err != nil {
			return identity{}, fmt.Errorf("credentials_file: %w", err)
		}
		where, field = "credentials_file "+d.c.CredentialsFile, "credentials_file"
	}
	if len(content) > 0 {
		var f file
		if err := json.Unmarshal(content, &f); err != nil {
			return identity{}, fmt.Errorf("%s: is no JSON file of credentials: %w", field, err)
		}
		creds, err := credentials.NewCredentialsFromJSON(credentials.CredType(f.Type), content, options)
		if err != nil {
			return identity{}, fmt.Errorf("%s: %w", field, err)
		}
		return d.complete(ctx, creds, where)
	}
	creds, err := credentials.DetectDefault(options)
	if err != nil {
		return identity{}, fmt.Errorf("credentials_file: none is set and the machine has no application default credentials: %w", err)
	}
	return d.complete(ctx, creds, "application default credentials")
}

// complete finds out who signs.
func (d *Driver) complete(ctx context.Context, creds *auth.Credentials, where string) (identity, error) {
	var f file
	if content := creds.JSON(); len(content) > 0 {
		if err := json.Unmarshal(content, &f); err != nil {
			return identity{}, fmt.Errorf("the application default credentials are no JSON: %w", err)
		}
	}
	i := identity{credentials: creds, account: f.ClientEmail}
	if f.PrivateKey != "" {
		i.key = []byte(f.PrivateKey)
	}
	if _, account, found := strings.Cut(f.URL, "/serviceAccounts/"); found { // workload identity federation
		i.account = strings.TrimSuffix(account, ":generateAccessToken")
	}
	kind := cmp.Or(f.Type, "the machine's account")
	if len(creds.JSON()) == 0 && metadata.OnGCE() {
		address, err := metadata.EmailWithContext(ctx, "default")
		if err == nil {
			i.account = address
		}
	}
	if d.c.Impersonate != "" {
		asking, err := httptransport.NewClient(&httptransport.Options{BaseRoundTripper: d.requests, Credentials: creds, DisableTelemetry: true})
		if err != nil {
			return identity{}, err
		}
		acting, err := impersonate.NewCredentials(&impersonate.CredentialsOptions{
			TargetPrincipal: d.c.Impersonate, Scopes: []string{scope}, Client: asking,
		})
		if err != nil {
			return identity{}, fmt.Errorf("impersonate: %w", err)
		}
		i.credentials, i.account, i.key = acting, d.c.Impersonate, nil
		where += ", acting as another"
	}
	if d.c.SigningAccount != "" && d.c.SigningAccount != i.account {
		i.account, i.key = d.c.SigningAccount, nil
	}
	if i.account != "" && i.key == nil {
		var err error
		i.iam, err = httptransport.NewClient(&httptransport.Options{BaseRoundTripper: d.requests, Credentials: i.credentials, DisableTelemetry: true})
		if err != nil {
			return identity{}, err
		}
	}
	i.text = fmt.Sprintf("%s (%s, from %s)", cmp.Or(i.account, "an account without a name"), kind, where)
	return i, nil
}

// maxTTL is the longest life of a signed URL: https://cloud.google.com/storage/docs/access-control/signed-urls
const maxTTL = 7 * 24 * time.Hour

// SignURL makes a V4 signed URL, good for GET alone. With a key it makes no request, otherwise one to IAM. ttl is cut to
// seven days; less than a second is ErrInvalid. A signature by IAM is good for twelve hours at most, by a key that Google
// rotates. https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signBlob
func (d *Driver) SignURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	const op = "signurl"
	full, err := d.full(op, key)
	if err != nil {
		return "", err
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if ttl < time.Second {
		return "", invalid(op, key, "a URL can't live for %v, only for a second or more", ttl)
	}
	if !d.identity.canSign() {
		return "", invalid(op, key, "the credentials hold no key and name no account that IAM could sign for; set signing_account")
	}
	options := &storage.SignedURLOptions{
		Scheme: storage.SigningSchemeV4, Method: http.MethodGet, GoogleAccessID: d.identity.account, Style: storage.PathStyle(),
	}
	life := min(ttl, maxTTL)
	if d.identity.key != nil {
		options.PrivateKey = d.identity.key
	} else {
		life = min(life, 12*time.Hour)
		options.SignBytes = func(b []byte) ([]byte, error) { return d.identity.signBlob(ctx, b) }
	}
	if endpoint := cmp.Or(d.c.PublicEndpoint, d.c.Endpoint); endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil {
			return "", invalid(op, key, "%w", err)
		}
		options.Hostname, options.Insecure = u.Host, u.Scheme == "http"
	}
	options.Expires = time.Now().Add(life)
	signed, err := storage.SignedURL(d.c.Bucket, full, options)
	if err != nil {
		return "", fail(ctx, op, key, err)
	}
	return signed, nil
}

// iamURL is where accounts without a key of their own have things signed.
const iamURL = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"

// signBlob has IAM sign b.
func (i identity) signBlob(ctx context.Context, b []byte) ([]byte, error) {
	body, err := json.Marshal(map[string][]byte{"payload": b})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, iamURL+url.PathEscape(i.account)+":signBlob", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := i.iam.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // nothing is left to be read
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, &drivers.Error{Op: "signurl", Driver: name, Kind: drivers.ErrDenied, Err: fmt.Errorf(
			"IAM does not sign for %s (status %d; the identity needs iam.serviceAccounts.signBlob on it, which the role Service Account Token Creator has): %.300s",
			i.account, answer.StatusCode, text)}
	}
	var signed struct {
		SignedBlob []byte `json:"signedBlob"`
	}
	if err := json.Unmarshal(text, &signed); err != nil || len(signed.SignedBlob) == 0 {
		return nil, fmt.Errorf("IAM's answer holds no signature: %.300s", text)
	}
	return signed.SignedBlob, nil
}
