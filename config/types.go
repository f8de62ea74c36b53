package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as "4MiB", "64KB" or "1048576".
type Size int64

// units are the suffixes of a Size. Those with an i are powers of 1024, the others powers of 1000.
var units = []struct {
	suffix string
	bytes  int64
}{
	{"tib", 1 << 40}, {"gib", 1 << 30}, {"mib", 1 << 20}, {"kib", 1 << 10},
	{"tb", 1e12}, {"gb", 1e9}, {"mb", 1e6}, {"kb", 1e3}, {"b", 1},
}

// ParseSize reads a Size. The unit's case does not matter, and a space may stand before it. A
// fraction is allowed where it comes to whole bytes.
func ParseSize(text string) (Size, error) {
	bad := fmt.Errorf("%q is not a size", text)
	lower := strings.ToLower(strings.TrimSpace(text))
	unit := int64(1)
	for _, u := range units {
		if number, found := strings.CutSuffix(lower, u.suffix); found {
			lower, unit = strings.TrimSpace(number), u.bytes
			break
		}
	}
	whole, fraction, _ := strings.Cut(lower, ".")
	if whole == "" || len(fraction) > 9 || strings.ContainsAny(whole[:1]+fraction, "+-") {
		return 0, bad
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%q is larger than any store", text)
	}
	if err != nil {
		return 0, bad
	}
	if n > (1<<63-1)/unit {
		return 0, fmt.Errorf("%q is larger than any store", text)
	}
	n *= unit
	if fraction == "" {
		return Size(n), nil
	}
	part, err := strconv.ParseInt(fraction, 10, 64)
	if err != nil {
		return 0, bad
	}
	scale := int64(1)
	for range fraction {
		scale *= 10
	}
	// unit/scale first would lose the fraction, part*unit would overflow beyond "0.999999999 TiB".
	high, low := unit/scale, unit%scale
	if (low*part)%scale != 0 {
		return 0, fmt.Errorf("%q is not a whole number of bytes", text)
	}
	n += high*part + low*part/scale
	if n < 0 {
		return 0, fmt.Errorf("%q is larger than any store", text)
	}
	return Size(n), nil
}

// String is the shortest exact form: "4MiB", "64KB", "1234".
func (s Size) String() string {
	for _, u := range units {
		if s >= Size(u.bytes) && u.bytes > 1 && int64(s)%u.bytes == 0 {
			suffix := strings.ToUpper(u.suffix)
			return strconv.FormatInt(int64(s)/u.bytes, 10) + strings.Replace(suffix, "I", "i", 1)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// UnmarshalText is ParseSize.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// Glob is a pattern for slash-separated names. "*" stands for any bytes but a slash, "?" for one
// such byte, "**" for any bytes at all.
type Glob string

// Match reports whether the whole name fits the pattern.
func (g Glob) Match(name string) bool {
	// rest and retry are where to go on after the last star: let it swallow one byte more.
	type point struct{ pattern, name int }
	var single, double point
	hasSingle, hasDouble := false, false
	p, n := 0, 0
	for p < len(g) || n < len(name) {
		switch {
		case strings.HasPrefix(string(g[p:]), "**"):
			double, hasDouble, hasSingle = point{p + 2, n}, true, false
			p += 2
			continue
		case p < len(g) && g[p] == '*':
			single, hasSingle = point{p + 1, n}, true
			p++
			continue
		case p < len(g) && n < len(name) && (g[p] == name[n] || g[p] == '?' && name[n] != '/'):
			p, n = p+1, n+1
			continue
		case hasSingle && single.name < len(name) && name[single.name] != '/':
			single.name++
			p, n = single.pattern, single.name
			continue
		case hasDouble && double.name < len(name):
			double.name++
			p, n, hasSingle = double.pattern, double.name, false
			continue
		}
		return false
	}
	return true
}

// UnmarshalText takes any pattern that can match something.
func (g *Glob) UnmarshalText(text []byte) error {
	switch s := string(text); {
	case s == "":
		return errors.New("an empty pattern matches nothing")
	case strings.HasPrefix(s, "/") || strings.HasSuffix(s, "/"):
		return fmt.Errorf("%q matches nothing: names neither begin nor end with a slash", s)
	case strings.ContainsAny(s, "[]{}\\"):
		return fmt.Errorf("%q: only *, ** and ? are special in a pattern", s)
	default:
		*g = Glob(s)
		return nil
	}
}

// OneOf is a section in which exactly one of several alternatives is given, each with settings of its
// own: "storage: {fs: {root: /srv}}". A scalar picks one with its defaults: "storage: memory", or the
// variable LONGSHORE_STORAGE. Setting a key of an alternative in the environment picks it too, and
// replaces the one of the file.
type OneOf struct {
	Chosen string // the name of an alternative; beforehand the default, "" if one has to be given
	Among  []Alternative
}

// Alternative is one choice of a OneOf.
type Alternative struct {
	Name   string
	Doc    string
	Config any // a pointer to a struct that holds the defaults
}

// Config is what belongs to the chosen alternative, nil if there is none.
func (o OneOf) Config() any {
	for _, a := range o.Among {
		if a.Name == o.Chosen {
			return a.Config
		}
	}
	return nil
}
