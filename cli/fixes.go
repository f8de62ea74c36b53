package cli

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

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
var aboutKey = regexp.MustCompile(`^([a-z_]+(?:\.[a-z_]+)*): `)

// placed adds to an error of a driver where the setting that it names was set.
func (l loaded) placed(err error) error {
	m := aboutKey.FindStringSubmatch(err.Error())
	if m == nil {
		return err
	}
	driver := "storage." + l.driver.Name + "."
	path := driver + m[1]
	for _, k := range l.keys {
		if k.Path == path || strings.HasPrefix(k.Path, driver) && strings.HasPrefix(path, k.Path+".") { // of a plugin's own settings only the whole is a key
			return fmt.Errorf("%s: storage.%s.%w", k.Source, l.driver.Name, err)
		}
	}
	return err
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
