package glance

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Listings are in the order of the images' names, which is the database's: it may not tell small letters from large ones, or
// leave out what is neither letter nor digit. So names are made of 0-9 and a-z alone, in which every order is the
// same, and such that they sort as their keys do:
//
//   - .      /      0 … 9        A … Z        _      a … z
//     00     01     02     03 … 0c      1a … 1z      2      a … z
//
// A name begins with eight digits for the store and a letter for what it is, and is cut at 255 characters, the most that Glance
// takes. Keys that then have one name stand together, and are sorted by who reads them.
const (
	maxName  = 255
	keyNames = "k" // entries, in the order of their keys
	oddNames = "p" // what belongs to streams, in the order of the keys that these are for
)

const digits = "0123456789abc"

// encode is the text of a key in names.
func encode(key string) string {
	var b strings.Builder
	for i := range len(key) {
		switch c := key[i]; {
		case c == '-' || c == '.' || c == '/':
			b.WriteByte('0')
			b.WriteByte(digits[c-'-'])
		case c >= '0' && c <= '9':
			b.WriteByte('0')
			b.WriteByte(digits[c-'0'+3])
		case c >= 'A' && c <= 'Z':
			b.WriteByte('1')
			b.WriteByte(c - 'A' + 'a')
		case c == '_':
			b.WriteByte('2')
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// names is the beginning of all names of a store.
func names(store string) string {
	h := sha256.Sum256([]byte(store))
	return hex.EncodeToString(h[:4])
}

// name is the name of what is about key.
func (d *Driver) name(letter, key string) string {
	full := d.names + letter + encode(key)
	return full[:min(len(full), maxName)]
}

// keyByte reports whether a key can have c.
func keyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '/' || c == '.' || c == '_' || c == '-'
}

// keyStart returns a string of bytes that keys have, such that every key that is at or after s is at or after that too.
func keyStart(s string) string {
	for i := range len(s) {
		if keyByte(s[i]) {
			continue
		}
		// No key has this byte: those after s are the ones with a larger one here.
		for c := int(s[i]) + 1; c < 256; c++ {
			if keyByte(byte(c)) {
				return s[:i] + string(byte(c))
			}
		}
		return s[:i] // a little early; who reads leaves out the rest
	}
	return s
}
