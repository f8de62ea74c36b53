package parts

import "strings"

// TrimETag is the ETag without the quotes of HTTP.
func TrimETag(s string) string { return strings.Trim(s, `"`) }

// IsETag reports whether s can stand between the quotes of a header without meaning something else.
func IsETag(s string) bool {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '*' || r == ',' }
	return s != "" && !strings.ContainsFunc(s, bad)
}
