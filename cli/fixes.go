package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/drivers"
)

// fixFor says what to do about an error of a store; otherwise is for errors of no known kind.
func fixFor(err error, otherwise string) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "the store is slow or out of reach: check the network, or give it longer with --timeout"
	case errors.Is(err, drivers.ErrThrottled):
		return "check the endpoint, the network and the firewall, or whether the store is overloaded"
	case errors.Is(err, drivers.ErrNoSpace):
		return "make room in the store"
	case errors.Is(err, drivers.ErrReadOnly):
		return "let the store take writes: it is mounted or configured read-only"
	case errors.Is(err, drivers.ErrDenied) && !strings.HasPrefix(otherwise, "let the credentials"):
		return "give this user, or these credentials, the right to read, write, list and delete there"
	case errors.Is(err, drivers.ErrCorrupt):
		return "something between the registry and the store changes what passes: look for a proxy, then at the store's disks"
	}
	return otherwise
}

// aboutKey is a driver's message that begins with the key of the setting that is likely wrong.
var aboutKey = regexp.MustCompile(`^([a-z0-9_]+(?:\.[a-z0-9_]+)*): `)

// placed adds to an error of a driver where the setting that it names was set; of several errors, a line
// each, to each.
func (l loaded) placed(err error) error {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = l.placedLine(line)
	}
	return placedError{strings.Join(lines, "\n"), err}
}

// placedError is an error with another text.
type placedError struct {
	text string
	error
}

// Error is the text.
func (e placedError) Error() string { return e.text }

// Unwrap gives the error itself.
func (e placedError) Unwrap() error { return e.error }

// placedLine adds to a line that begins with a setting's key where it was set.
func (l loaded) placedLine(line string) string {
	m := aboutKey.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	driver := "storage." + l.driver.Name + "."
	path := driver + m[1]
	var near config.Key // the setting, or what holds it: a plugin may name one of its own that is not set
	for _, k := range l.keys {
		if strings.HasPrefix(k.Path, driver) && strings.HasPrefix(path+".", k.Path+".") && len(k.Path) > len(near.Path) {
			near = k
		}
	}
	if near.Path == "" {
		return line
	}
	return fmt.Sprintf("%s: storage.%s.%s", near.Source, l.driver.Name, line)
}

// origin says where the settings are from.
func (l loaded) origin() string {
	names := map[string]bool{} // one variable may give two settings: a driver and its root
	for _, k := range l.keys {
		if k.Source.Env != "" {
			names[k.Source.Env] = true
		}
	}
	from := l.file
	if from == "" {
		from = "defaults"
	}
	if n := len(names); n > 0 {
		from += " and " + plural(n, "variable") + " of the environment"
	}
	return from
}
