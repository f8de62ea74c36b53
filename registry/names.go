package registry

import (
	_ "crypto/sha256" // registers the algorithm with go-digest
	_ "crypto/sha512"
	"regexp"

	"github.com/opencontainers/go-digest"
)

// MaxName is the length of a repository's name in bytes, as docker's clients have it.
const MaxName = 255

// The grammars of the OCI distribution spec, section "Pulling manifests".
var (
	nameGrammar = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// CheckName returns NAME_INVALID unless name is a repository's name.
func CheckName(name string) error {
	if len(name) > MaxName {
		return errorf(NameInvalid, "repository name is longer than %d characters", MaxName).with("length", len(name))
	}
	if !nameGrammar.MatchString(name) {
		return errorf(NameInvalid, "invalid repository name: parts of a-z and 0-9, joined by one '.', one or two '_' or any '-', between slashes").with("name", name)
	}
	return nil
}

// CheckTag returns TAG_INVALID unless tag is a tag's name.
func CheckTag(tag string) error {
	if !tagGrammar.MatchString(tag) {
		return errorf(TagInvalid, "invalid tag: 1 to 128 of A-Z a-z 0-9 _ . -, not beginning with '.' or '-'").with("tag", tag)
	}
	return nil
}

// ParseDigest returns DIGEST_INVALID unless text is a sha256 or sha512 digest in lower-case hex.
func ParseDigest(text string) (digest.Digest, error) {
	d, err := digest.Parse(text)
	if err == nil {
		err = checkAlgorithm(d.Algorithm())
	}
	if err != nil {
		return "", &Error{
			Code: DigestInvalid, Message: "invalid digest: sha256: and 64, or sha512: and 128, digits of lower-case hex",
			Detail: map[string]any{"digest": text}, Err: err,
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
