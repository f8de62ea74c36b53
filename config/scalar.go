package config

import (
	"encoding"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errEmpty is said of an empty text where a value has to be.
var errEmpty = errors.New("is empty; remove the line or give it a value")

// scalar is the type of the node's value, or of its elements' for a list and a table.
func (n *node) scalar() reflect.Type {
	if n.kind == list || n.kind == table {
		return n.value.Type().Elem()
	}
	return n.value.Type()
}

// parse makes a value of the node's scalar type out of a text, and holds it against the tags.
func (n *node) parse(text string) (reflect.Value, error) {
	t := n.scalar()
	v := reflect.New(t).Elem()
	if err := n.fill(v, text); err != nil {
		return v, err
	}
	if len(n.enum) > 0 {
		shown := format(v, n.bytes)
		for _, allowed := range n.enum {
			if shown == allowed {
				return v, nil
			}
		}
		return v, fmt.Errorf("%q is not one of %s", text, words(n.enum, "or"))
	}
	return v, nil
}

// fill sets v from a text.
func (n *node) fill(v reflect.Value, text string) error {
	t := v.Type()
	if t.Kind() == reflect.String && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		v.SetString(text)
		return nil
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return errEmpty
	}
	switch {
	case t == prefixType:
		p, err := parseNetwork(text)
		v.Set(reflect.ValueOf(p))
		return err
	case t == durationType:
		d, err := parseDuration(text)
		v.SetInt(int64(d))
		return err
	case n.bytes && v.CanInt():
		s, err := ParseSize(text)
		if err == nil && v.OverflowInt(int64(s)) {
			err = fmt.Errorf("%q is too large", text)
		}
		if err == nil {
			v.SetInt(int64(s))
		}
		return explainSize(err)
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		err := u.UnmarshalText([]byte(text))
		if t == sizeType {
			err = explainSize(err)
		}
		return err
	}
	switch {
	case t.Kind() == reflect.Bool:
		b, err := parseBool(text)
		v.SetBool(b)
		return err
	case v.CanInt():
		i, err := strconv.ParseInt(text, 10, t.Bits())
		v.SetInt(i)
		return explainNumber(text, err)
	case v.CanUint():
		u, err := strconv.ParseUint(text, 10, t.Bits())
		v.SetUint(u)
		return explainNumber(text, err)
	}
	return fmt.Errorf("type %s is not supported", t)
}

// bound returns an error if v is below the tag min or above the tag max.
func (n *node) bound(v reflect.Value) error {
	for _, limit := range []struct {
		text, words string
		sign        int64
	}{{n.min, "at least", 1}, {n.max, "at most", -1}} {
		if limit.text == "" {
			continue
		}
		edge, err := n.parse(limit.text)
		if err != nil {
			return err
		}
		low := v.CanInt() && (v.Int() < edge.Int() && limit.sign > 0 || v.Int() > edge.Int() && limit.sign < 0)
		high := v.CanUint() && (v.Uint() < edge.Uint() && limit.sign > 0 || v.Uint() > edge.Uint() && limit.sign < 0)
		if low || high {
			return fmt.Errorf("%s is out of range: it has to be %s %s", format(v, n.bytes), limit.words, format(edge, n.bytes))
		}
	}
	return nil
}

// parseBool takes what YAML 1.1 takes, in any case, quoted or not: the environment and Helm
// produce "true", and old files say yes and on.
func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1":
		return true, nil
	case "false", "no", "off", "0":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

// parseDuration takes Go's form, and never less than nothing.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		if _, e := strconv.ParseFloat(text, 64); e == nil {
			return 0, fmt.Errorf("%q has no unit; write %ss for seconds, or %sm for minutes", text, text, text)
		}
		return 0, fmt.Errorf("%q is not a duration; write it as 30s, 5m or 24h", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is negative", text)
	}
	return d, nil
}

// parseNetwork takes a network in CIDR form or one address.
func parseNetwork(text string) (netip.Prefix, error) {
	bad := fmt.Errorf("%q is neither a network (10.0.0.0/8, fd00::/8) nor an address (192.0.2.7)", text)
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, bad
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, bad
	}
	// Clients' addresses are compared unmapped, so ::ffff:10.0.0.0/104 has to become 10.0.0.0/8.
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func explainSize(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w; write it as 64KiB, 4MiB, 1GB or a number of bytes", err)
}

func explainNumber(text string, err error) error {
	if errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("%q is out of range", text)
	}
	if err != nil {
		return fmt.Errorf("%q is not a whole number", text)
	}
	return nil
}

// split cuts the text form of a list at its commas.
func split(text string) []string {
	var all []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// format is the text from which parse makes v again; of a secret type, its mask.
func format(v reflect.Value, bytes bool) string {
	switch {
	case v.Type() == durationType:
		return shortDuration(time.Duration(v.Int()))
	case bytes && v.CanInt():
		return Size(v.Int()).String()
	case v.Kind() == reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = format(v.Index(i), bytes)
		}
		return strings.Join(parts, ",")
	case v.Kind() == reflect.Map:
		var parts []string
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			parts = append(parts, key.String()+"="+format(v.MapIndex(key), bytes))
		}
		return strings.Join(parts, ",")
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok && v.Kind() != reflect.String {
		if text, err := m.MarshalText(); err == nil {
			return string(text)
		}
	}
	return fmt.Sprint(v.Interface())
}

// shortDuration is d without the zero units of time.Duration's own form: 24h, not 24h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// words joins names for a sentence: "a, b or c".
func words(names []string, last string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " " + last + " " + names[len(names)-1]
}

// typeName says in words what a value of the node looks like.
func (n *node) typeName() string {
	if n.kind == sections {
		return "list of sections"
	}
	t := n.scalar()
	name := "text"
	switch {
	case t == prefixType:
		name = "network"
	case t == durationType:
		name = "duration"
	case t == sizeType || n.bytes:
		name = "size"
	case t == globType:
		name = "pattern"
	case t == documentType:
		return "keys"
	case t.Kind() == reflect.Bool:
		name = "bool"
	case reflect.Zero(t).CanInt() || reflect.Zero(t).CanUint():
		name = "number"
	case len(n.enum) > 0:
		name = words(n.enum, "or")
	}
	switch n.kind {
	case list:
		if len(n.enum) > 0 {
			return "list of " + name
		}
		return "list of " + name + "s"
	case table:
		return "keys, each with a " + name
	}
	if n.secret {
		name = "secret"
	}
	return name
}
