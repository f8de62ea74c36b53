package cli

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// failing is a hook that lets one operation fail.
func failing(op string, err error) memory.Hook {
	return func(_ context.Context, got, _ string) memory.Outcome {
		if got == op {
			return memory.Outcome{Err: err}
		}
		return memory.Outcome{}
	}
}

// careless is a driver whose store ignores conditions.
type careless struct{ drivers.Driver }

func (c careless) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return c.Put(ctx, key, body)
}

func (c careless) PutIfMatch(ctx context.Context, key string, body []byte, _ string) error {
	return c.Put(ctx, key, body)
}

// plain is a driver that can do nothing beyond the seven methods.
type plain struct{ drivers.Driver }

func TestProbe(t *testing.T) {
	late := func() time.Time { return time.Now().Add(time.Hour) }
	for name, c := range map[string]struct {
		store func(*memory.Driver) drivers.Driver
		hook  memory.Hook
		now   func() time.Time
		want  map[string]string // a result's name: status and what its words contain
		only  int               // how many results there are; 0: all
	}{
		"good":                   {want: map[string]string{"upload": "ok 20 MiB", "delete": "ok nothing is left"}},
		"no rights":              {hook: failing("stat", drivers.ErrDenied), want: map[string]string{"reach": "fail give this user"}, only: 1},
		"busy":                   {hook: failing("stat", drivers.ErrThrottled), want: map[string]string{"reach": "fail check the endpoint"}, only: 1},
		"read-only":              {hook: failing("put", drivers.ErrReadOnly), want: map[string]string{"create": "fail let the store take writes", "delete": "ok"}, only: 3},
		"full":                   {hook: failing("write", drivers.ErrNoSpace), want: map[string]string{"upload": "fail make room", "cancel": "fail make room", "delete": "ok"}},
		"no listing":             {hook: failing("list", drivers.ErrDenied), want: map[string]string{"list": "fail let the credentials list", "delete": "fail"}},
		"no suspend":             {hook: failing("suspend", drivers.ErrDenied), want: map[string]string{"upload": "fail multipart", "cancel": "ok"}},
		"no delete":              {hook: failing("delete", drivers.ErrDenied), want: map[string]string{"delete": "fail by hand"}},
		"clock":                  {now: late, want: map[string]string{"clock": "warn ahead of this machine's"}},
		"conditions are ignored": {store: func(d *memory.Driver) drivers.Driver { return careless{d} }, want: map[string]string{"put-if-absent": "warn ignores the condition", "put-if-match": "warn ignores the condition"}},
		"no conditions":          {store: func(d *memory.Driver) drivers.Driver { return plain{d} }, want: map[string]string{"put-if-absent": "warn let no more than one process collect", "put-if-match": "warn"}},
	} {
		t.Run(name, func(t *testing.T) {
			bare := memory.New(memory.Options{Hook: c.hook, Now: c.now})
			store := drivers.Driver(bare)
			if c.store != nil {
				store = c.store(bare)
			}
			got := probed(t.Context(), store)
			if c.only == 0 {
				c.only = 11
			}
			if len(got) != c.only {
				t.Errorf("%d results, want %d: %v", len(got), c.only, got)
			}
			for step, want := range c.want {
				status, words, _ := strings.Cut(want, " ")
				r := got[step]
				if string(r.Status) != status || !strings.Contains(r.Detail+" "+r.Fix, words) {
					t.Errorf("%s: got %v, want %q", step, r, want)
				}
				if r.Status != passed && r.Fix == "" {
					t.Errorf("%s: says nothing of what to do: %v", step, r)
				}
			}
			if got["delete"].Status == passed {
				mustBeEmpty(t, bare)
			}
		})
	}
}

// probed runs the probe and returns its results by name.
func probed(ctx context.Context, store drivers.Driver) map[string]result {
	got := map[string]result{}
	newProbe(store, defaultSettings(nil), time.Minute, func(r result) { got[r.Name] = r }).run(ctx)
	return got
}

// mustBeEmpty looks past the hook of the driver.
func mustBeEmpty(t *testing.T, d *memory.Driver) {
	t.Helper()
	for e, err := range d.Reopen(nil).List(context.Background(), "", "", "") {
		t.Errorf("left behind: %s, %v", e.Key, err)
	}
}

func TestProbeCleansUpWhenInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	d := memory.New(memory.Options{Hook: func(_ context.Context, op, _ string) memory.Outcome {
		if op == "suspend" {
			interrupt()
		}
		return memory.Outcome{}
	}})
	got := probed(ctx, d)
	if got["delete"].Status != passed || got["upload"].Name != "" {
		t.Errorf("got %v", got)
	}
	mustBeEmpty(t, d)
}

func TestProbeLimitsEachStep(t *testing.T) {
	d := memory.New(memory.Options{Hook: func(ctx context.Context, op, _ string) memory.Outcome {
		if op == "list" {
			<-ctx.Done()
		}
		return memory.Outcome{}
	}})
	got := map[string]result{}
	newProbe(d, defaultSettings(nil), 20*time.Millisecond, func(r result) { got[r.Name] = r }).step(t.Context(), "list", "", func(ctx context.Context) (string, error) {
		_, err := newProbe(d, defaultSettings(nil), 0, nil).keys(ctx)
		return "", err
	})
	if r := got["list"]; r.Status != failed || !strings.Contains(r.Fix, "--timeout") {
		t.Errorf("got %v", r)
	}
}

func TestPlacesErrorsOfDrivers(t *testing.T) {
	folder, err := program{env: []string{"LONGSHORE_STORAGE_FS_ROOT=/x"}}.load(nil)
	if err != nil {
		t.Fatal(err)
	}
	plugin, err := program{}.load([]string{writeFile(t, "c.yml", "storage:\n  plugin:\n    command: p\n    config:\n      roots: [a]\n      auth:\n        user: x\n")})
	if err != nil {
		t.Fatal(err)
	}
	at := func(line string) string { return plugin.file + ":" + line + ": storage.plugin." }
	for _, c := range []struct {
		l          loaded
		text, want string
	}{
		{folder, "root: no such folder", "env LONGSHORE_STORAGE_FS_ROOT: storage.fs.root: no such folder"},
		{folder, "else: broken", "else: broken"},
		{folder, "broken", "broken"},
		{plugin, "config.roots: too few", at("5") + "config.roots: too few"},
		{plugin, "config.auth.user: unknown", at("7") + "config.auth.user: unknown"},
		{plugin, "config.auth.key2: required", at("5") + "config.auth.key2: required"},
		{plugin, "config.roots: a\nconfig.auth.user: b", at("5") + "config.roots: a\n" + at("7") + "config.auth.user: b"},
		{plugin, "command: ended", at("3") + "command: ended"},
	} {
		if got := c.l.placed(errors.New(c.text)).Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if err := folder.placed(drivers.ErrDenied); !errors.Is(err, drivers.ErrDenied) {
		t.Errorf("the kind is lost: %v", err)
	}
}
