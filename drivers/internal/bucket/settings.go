package bucket

import (
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// Values of the setting encryption.
const (
	EncryptNone     = "none"
	EncryptS3       = "s3"
	EncryptKMS      = "kms"
	EncryptCustomer = "customer"
)

// Settings are those that have the same names and rules in all drivers of stores with the S3 API.
type Settings struct {
	Prefix, Addressing, ListVersion, Checksums, StorageClass, UserAgent string

	Encryption, KMSKey string
	CustomerKey        drivers.Secret
	Plain              bool // the endpoint speaks no TLS

	AccessKey               string
	SecretKey, SessionToken drivers.Secret
	Profile                 string
	Role                    bool // one is assumed
	SessionName             string

	PartSize, Memory int64 // bytes
	Timeout          time.Duration
	Attempts         int
}

// agent is what may be added to a User-Agent.
var agent = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+.^_|~-]*(/[A-Za-z0-9!#$%&'*+.^_|~-]+)?$`)

// Validate tells bad of all that is wrong, by the name of the field.
func (s Settings) Validate(bad func(field, format string, args ...any)) {
	OneOf(bad, "addressing", s.Addressing, "auto", "path", "virtual")
	OneOf(bad, "list_version", s.ListVersion, "v2", "v1")
	if p := Folder(s.Prefix); p != "" {
		// 512 leaves as much again for the keys below it.
		if err := drivers.CheckKey("", "open", strings.TrimSuffix(p, "/")); err != nil || len(p) > 512 {
			bad("prefix", "%q: at most 511 bytes of A-Z a-z 0-9 . _ - and /, without empty, . and .. elements", s.Prefix)
		}
	}
	s.validateIdentity(bad)
	s.validateEncryption(bad)
	if _, err := parts.ParseSum(s.Checksums); err != nil {
		bad("checksums", "%w", err)
	}
	if s.StorageClass == "GLACIER" || s.StorageClass == "DEEP_ARCHIVE" {
		bad("storage_class", "what is in %s can't be read at once", s.StorageClass)
	}
	if s.PartSize < parts.MinPart || s.PartSize > parts.MaxPart {
		bad("part_size", "%d bytes; S3 takes 5 MiB to 5 GiB", s.PartSize)
	}
	if s.Memory < s.PartSize {
		bad("memory", "%d bytes is less than part_size, so no part could be sent", s.Memory)
	}
	if !agent.MatchString(s.UserAgent) {
		bad("user_agent", "%q is not a name, or name/version, without spaces", s.UserAgent)
	}
	if s.Timeout < time.Second {
		bad("timeout", "%v is less than a second", s.Timeout)
	}
	if s.Attempts < 1 {
		bad("attempts", "at least 1")
	}
}

func (s Settings) validateIdentity(bad func(field, format string, args ...any)) {
	switch {
	case s.AccessKey == "" && s.SecretKey != "":
		bad("access_key", "required beside secret_key")
	case s.AccessKey != "" && s.SecretKey == "":
		bad("secret_key", "required beside access_key")
	case s.AccessKey == "" && s.SessionToken != "":
		bad("access_key", "required beside session_token")
	case s.AccessKey != "" && s.Profile != "":
		bad("profile", "names an identity, as access_key does; one of them is enough")
	}
	if s.Role && len(s.SessionName) < 2 {
		bad("session_name", "at least two characters")
	}
}

func (s Settings) validateEncryption(bad func(field, format string, args ...any)) {
	OneOf(bad, "encryption", s.Encryption, EncryptNone, EncryptS3, EncryptKMS, EncryptCustomer)
	if s.Encryption != EncryptKMS && s.KMSKey != "" {
		bad("encryption", "kms_key is for encryption: kms")
	}
	if s.Encryption != EncryptCustomer {
		if s.CustomerKey != "" {
			bad("encryption", "customer_key is for encryption: customer")
		}
		return
	}
	if _, ok := CustomerKey(s.CustomerKey); !ok {
		bad("customer_key", "must be 32 bytes in base64, as \"openssl rand -base64 32\" makes them")
	}
	if s.Plain {
		bad("encryption", "a key of yours is sent with each request, so the endpoint has to speak TLS")
	}
}

// CustomerKey decodes the setting customer_key.
func CustomerKey(text drivers.Secret) (key []byte, ok bool) {
	key, err := base64.StdEncoding.DecodeString(string(text))
	return key, err == nil && len(key) == 32
}

// OneOf tells bad of a value that is none of values.
func OneOf(bad func(field, format string, args ...any), field, value string, values ...string) {
	if !slices.Contains(values, value) {
		bad(field, "%q is none of %s", value, strings.Join(values, ", "))
	}
}

// Folder is the setting prefix as it stands before every key: "" or with a slash at its end only.
func Folder(prefix string) string {
	p := strings.Trim(prefix, "/")
	if p == "" {
		return ""
	}
	return p + "/"
}
