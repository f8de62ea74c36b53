package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// withStore is a program whose driver "given" opens d.
func withStore(d drivers.Driver) (p program, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	given := NewDriver("given", "A store of the test.", memory.Defaults(),
		func(context.Context, memory.Config) (drivers.Driver, error) { return d, nil },
		func(memory.Config) string { return "the test's store" })
	return program{stdout: stdout, stderr: stderr, env: []string{"LONGSHORE_STORAGE=given"}, more: []Driver{given}}, stdout, stderr
}

// abandoned begins streams at different times.
func abandoned(t *testing.T, hook memory.Hook) *memory.Driver {
	t.Helper()
	now := time.Now()
	d := memory.New(memory.Options{Now: func() time.Time { return now }})
	for _, one := range []struct {
		key string
		age time.Duration
	}{{"data/aa/old", 200 * time.Hour}, {"data/bb/older", 900 * time.Hour}, {"data/cc/young", 100 * time.Hour}, {"photos/old", 900 * time.Hour}, {"check/abcdefghijklmnopqrstuvwxyz/large", 300 * time.Hour}, {"check/other", 300 * time.Hour}} {
		now = time.Now().Add(-one.age)
		w, err := d.Writer(t.Context(), one.key, -1)
		if err == nil {
			_, err = w.Write(make([]byte, 1<<20))
		}
		if err == nil {
			_, err = w.Suspend(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return d.Reopen(hook)
}

// left are the keys of all leftovers.
func left(t *testing.T, d *memory.Driver) string {
	t.Helper()
	var keys []string
	for l, err := range d.Reopen(nil).Leftovers(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, l.Key)
	}
	return strings.Join(keys, " ")
}

func TestLeftovers(t *testing.T) {
	const ours, others = "check/abcdefghijklmnopqrstuvwxyz/large", "photos/old check/other" // those that have to stay
	const all = "data/aa/old data/bb/older data/cc/young photos/old " + ours + " check/other"
	failOld := func(_ context.Context, op, key string) memory.Outcome {
		if op == "drop" && key == "data/aa/old" {
			return memory.Outcome{Err: errors.New("no right to drop this")}
		}
		return memory.Outcome{}
	}
	for name, c := range map[string]struct {
		args string
		hook memory.Hook
		code int
		says []string
		left string
	}{
		"dry":                 {"", nil, 0, []string{"old      2", "young    2", "foreign  2", "old: 3 streams, 3.0 MiB; --drop removes them"}, all},
		"drop":                {"--drop", nil, 0, []string{"dropped  2", "dropped: 3 streams, 3.0 MiB"}, "data/cc/young " + others},
		"drop the oldest":     {"--drop --older-than 400h", nil, 0, []string{"dropped: one stream, 1.0 MiB"}, "data/aa/old data/cc/young photos/old " + ours + " check/other"},
		"nothing so old":      {"--older-than 2000h", nil, 0, []string{"nothing in the test's store is left over for longer than 2000h"}, all},
		"too young":           {"--drop --older-than 47h", nil, exitUsage, []string{"give 48h0m0s or more"}, all},
		"one can't be":        {"--drop", failOld, exitFailed, []string{"failed   2", "→ memory: ", "no right to drop this", "dropped: 2 streams", "one stream could not be removed"}, "data/aa/old data/cc/young " + others},
		"no right to list":    {"--drop", failing("leftovers", drivers.ErrDenied), exitFailed, []string{"the store did not list everything"}, all},
		"no right, as JSON":   {"-o json", failing("leftovers", drivers.ErrDenied), exitFailed, []string{`"error": "memory`}, all},
		"what can't be, JSON": {"-o json --drop", failOld, exitFailed, []string{`"failed": 1`, `"state": "failed"`}, "data/aa/old data/cc/young " + others},
	} {
		t.Run(name, func(t *testing.T) {
			d := abandoned(t, c.hook)
			p, stdout, stderr := withStore(d)
			if code := p.run(append([]string{"leftovers"}, strings.Fields(c.args)...)); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			said := stdout.String() + stderr.String()
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("%q is missing", want)
				}
			}
			if got := left(t, d); got != c.left {
				t.Errorf("left over are %s, want %s", got, c.left)
			}
			if t.Failed() {
				t.Log(said)
			}
		})
	}
}

func TestLeftoversAsJSON(t *testing.T) {
	p, stdout, _ := withStore(abandoned(t, nil))
	if code := p.run([]string{"leftovers", "-o", "json", "--drop"}); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	var got leftoversReport
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := tally{Count: 3, Bytes: 3 << 20}
	if got.Old != want || got.Dropped != want || len(got.Leftovers) != 6 || got.Leftovers[0].Key != "data/aa/old" || got.Leftovers[0].Size != 1<<20 {
		t.Errorf("got %+v", got)
	}
}

func TestLeftoversOfADriverThatCannot(t *testing.T) {
	p, _, stderr := withStore(plain{memory.New(memory.Options{})})
	if code := p.run([]string{"leftovers"}); code != exitFailed || !strings.Contains(stderr.String(), "no way to find leftovers") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{-1: "?", 0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 3 << 29: "1.5 GiB", 1 << 50: "1024.0 TiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
