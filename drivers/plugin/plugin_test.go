package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/plugin"
)

// TestMain is also the plugins of the tests: their program is this one, with an argument that no flag of a test is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve-memory":
			plugin.Serve("memory", memory.Defaults(), memory.Open)
			return
		case "serve-fs":
			plugin.Serve("fs", fs.Defaults(), fs.Open)
			return
		case "serve-odd":
			serveOdd(os.Args[2:])
			return
		}
	}
	// A program with the race detector sleeps a second at its end. There are hundreds of plugins here.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0 "+os.Getenv("GORACE")); err != nil {
		panic(err)
	}
	os.Exit(conformance.Main(m, func(ctx context.Context, where string) (drivers.Driver, error) {
		c := Defaults()
		if err := json.Unmarshal([]byte(where), &c); err != nil {
			return nil, err
		}
		return Open(ctx, c)
	}))
}

// command is this program as a plugin.
func command(t testing.TB, args ...string) Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := Defaults()
	c.Command, c.Log = append([]string{self}, args...), slog.New(slog.DiscardHandler)
	return c
}

// onFolder is a plugin with the driver fs.
func onFolder(t testing.TB, root string) Config {
	c := command(t, "serve-fs")
	c.Config = config.Document(fmt.Sprintf("root: %q\ndurability: fast\n", root))
	return c
}

func open(t testing.TB, c Config) *Driver {
	t.Helper()
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestConformanceOverMemory(t *testing.T) {
	conformance.Run(t, conformance.Config{
		Open:   func(t testing.TB) drivers.Driver { return open(t, command(t, "serve-memory")) },
		Extras: conformance.Extras{Absent: true, Match: true, Sweep: true},
		Name:   "memory",
	})
}

func TestConformanceOverFS(t *testing.T) {
	roots := make(map[drivers.Driver]string)
	reopen := func(t testing.TB, root string) drivers.Driver {
		d := open(t, onFolder(t, root))
		roots[d] = root
		return d
	}
	conformance.Run(t, conformance.Config{
		Open:   func(t testing.TB) drivers.Driver { return reopen(t, t.TempDir()) },
		Reopen: func(t testing.TB, d drivers.Driver) drivers.Driver { return reopen(t, roots[d]) },
		Where: func(t testing.TB, d drivers.Driver) string {
			c := onFolder(t, roots[d])
			where, err := json.Marshal(map[string]any{"Command": c.Command, "Config": string(c.Config)})
			if err != nil {
				t.Fatal(err)
			}
			return string(where)
		},
		Extras: conformance.Extras{Absent: true, Match: true, Sweep: true},
		Name:   "fs",
	})
}
