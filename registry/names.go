package registry

import (
	_ "crypto/sha256" // registers the algorithm with go-digest
	_ "crypto/sha512"
	"strings"

	"github.com/opencontainers/go-digest"
)

// MaxName is the length of a repository's name in bytes, as docker's clients have it.
const MaxName = 255

// maxTag is the length of a tag in bytes.
const maxTag = 128

// validName reports whether name is one by the grammar of the OCI distribution spec, section "Pulling manifests":
//
//	[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*
//
// Every request has a name, so it is read by hand: a regular expression takes many times as long.
func validName(name string) bool {
	const noSeparator = 0
	last := byte('/') // the separator before the next character
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			last = noSeparator
		case last == noSeparator && (c == '/' || c == '.' || c == '_' || c == '-'):
			last = c
		case last == '-' && c == '-':
		case last == '_' && c == '_':
			last = '.' // nothing can follow but a character
		default:
			return false
		}
	}
	return last == noSeparator
}

// validTag reports whether tag is one by the same grammar: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
func validTag(tag string) bool {
	for i := range len(tag) {
		switch c := tag[i]; {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_':
		case i > 0 && (c == '.' || c == '-'):
		default:
			return false
		}
	}
	return 0 < len(tag) && len(tag) <= maxTag
}

// validDigest reports whether text is a sha256 or sha512 digest.
func validDigest(text string) bool {
	algorithm, encoded, _ := strings.Cut(text, ":")
	if algorithm == string(digest.SHA256) && len(encoded) != 64 || algorithm == string(digest.SHA512) && len(encoded) != 128 {
		return false
	}
	for i := range len(encoded) {
		if c := encoded[i]; (c < '0' || '9' < c) && (c < 'a' || 'f' < c) {
			return false
		}
	}
	return algorithm == string(digest.SHA256) || algorithm == string(digest.SHA512)
}

// CheckName returns NAME_INVALID unless name is a repository's name.
func CheckName(name string) error {
	if len(name) > MaxName {
		return errorf(NameInvalid, "repository name is longer than %d characters", MaxName).with("length", len(name))
	}
	if !validName(name) {
		return errorf(NameInvalid, "invalid repository name: parts of a-z and 0-9, joined by one '.', one or two '_' or any '-', between slashes").with("name", name)
	}
	return nil
}

// CheckTag returns TAG_INVALID unless tag is a tag's name.
func CheckTag(tag string) error {
	if !validTag(tag) {
		return errorf(TagInvalid, "invalid tag: 1 to 128 of A-Z a-z 0-9 _ . -, not beginning with '.' or '-'").with("tag", tag)
	}
	return nil
}

// ParseDigest returns DIGEST_INVALID unless text is a sha256 or sha512 digest in lower-case hex.
func ParseDigest(text string) (digest.Digest, error) {
	if validDigest(text) {
		return digest.Digest(text), nil
	}
	d, err := digest.Parse(text)
	if err == nil {
		err = checkAlgorithm(d.Algorithm())
	}
	if err != nil {
		return "", &Error{
			Code: DigestInvalid, Message: "invalid digest: sha256: and 64, or sha512: and 128, digits of lower-case hex",
			Detail: map[string]any{"digest": brief(text)}, Err: err,
		}
	}
	return d, nil
}

// ParseAlgorithm returns DIGEST_INVALID unless text names a digest algorithm that the registry keeps.
func ParseAlgorithm(text string) (digest.Algorithm, error) {
	a := digest.Algorithm(text)
	if err := checkAlgorithm(a); err != nil {
		return "", err
	}
	return a, nil
}

func checkAlgorithm(a digest.Algorithm) error {
	if a != digest.SHA256 && a != digest.SHA512 {
		return errorf(DigestInvalid, "unsupported digest algorithm: sha256 and sha512 are").with("algorithm", string(a))
	}
	return nil
}
