package drivers

import "log/slog"

// Secret is a password or key in a configuration. Whatever prints it shows "***", or nothing if
// it is empty; string(s) is the real value.
type Secret string

// hidden is what is shown instead of a Secret.
const hidden = "***"

// String is "***", or "" if s is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString is String in quotes, for %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText keeps the value out of YAML and JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue keeps the value out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
