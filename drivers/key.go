package drivers

import (
	"fmt"
	"strings"
)

// Limits of keys. 1024 bytes is S3's, GCS's and Swift's; 255 is what file systems give a name.
const (
	MaxKey     = 1024
	MaxElement = 255
)

// CheckKey returns an error of kind ErrInvalid unless key follows the rules of the package
// comment. Drivers call it before they ask anything of the backend.
func CheckKey(driver, op, key string) error {
	bad := func(why string) error {
		return &Error{Op: op, Driver: driver, Key: key, Kind: ErrInvalid, Err: fmt.Errorf("bad key: %s", why)}
	}
	if key == "" {
		return bad("empty")
	}
	if len(key) > MaxKey {
		return bad("longer than 1024 bytes")
	}
	for i := range len(key) {
		c := key[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '/' || c == '.' || c == '_' || c == '-' {
			continue
		}
		return bad(fmt.Sprintf("byte %q", c))
	}
	for element := range strings.SplitSeq(key, "/") {
		switch {
		case element == "":
			return bad("an empty element")
		case element == "." || element == "..":
			return bad("element " + element)
		case len(element) > MaxElement:
			return bad("an element longer than 255 bytes")
		}
	}
	return nil
}
