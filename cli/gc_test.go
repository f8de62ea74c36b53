package cli

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
)

// looseBlob is a store with one blob that no manifest names, put there three days ago.
func looseBlob(t *testing.T, hook memory.Hook) *memory.Driver {
	t.Helper()
	past := 72 * time.Hour
	now := func() time.Time { return time.Now().Add(-past) }
	d := memory.New(memory.Options{Now: func() time.Time { return now() }})
	r, err := registry.Open(t.Context(), d, registry.Options{Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), 2048)
	if err := r.PutBlob(t.Context(), "a", registry.Chunk{Body: bytes.NewReader(body), Length: 2048}, digest.FromBytes(body)); err != nil {
		t.Fatal(err)
	}
	r.Close()
	past = 0
	return d.Reopen(hook)
}

// blobsLeft counts blobs' bytes.
func blobsLeft(t *testing.T, d *memory.Driver) (n int) {
	t.Helper()
	for _, err := range d.Reopen(nil).List(t.Context(), "data/", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestGC(t *testing.T) {
	refuse := func(_ context.Context, op, key string) memory.Outcome {
		if op == "delete" && strings.HasPrefix(key, "data/") {
			return memory.Outcome{Err: drivers.ErrDenied}
		}
		return memory.Outcome{}
	}
	for name, c := range map[string]struct {
		args string
		env  string
		hook memory.Hook
		code int
		says []string
		left int
	}{
		"dry":           {"--dry-run", "", nil, 0, []string{"link  ", "no manifest here names it", "blob  ", "2.0 KiB  blobs/sha256/", "no repository has it", "would be removed: 1 blob, 1 link"}, 1},
		"wet":           {"", "", nil, 0, []string{"removed: 1 blob, 1 link", "bytes: 2.0 KiB"}, 0},
		"each":          {"-v", "", nil, 0, []string{"no repository has it"}, 0},
		"as JSON":       {"-v -o json", "", nil, 0, []string{`"kind":"blob"`, `"reason":"no repository has it"`, `"bytes":2048`, `"failed":0`}, 0},
		"refused":       {"", "", refuse, exitFailed, []string{"not removed: memory: ", "the store refused a part of the collection", "bytes: 0 B"}, 1},
		"grace":         {"", "LONGSHORE_GC_GRACE=96h", nil, 0, []string{"removed: nothing"}, 1},
		"too short":     {"", "LONGSHORE_GC_GRACE=1h", nil, exitFailed, []string{"gc.grace", "give 48h0m0s or more"}, 1},
		"keeps nothing": {"", "LONGSHORE_GC_RETENTION=** tags=^pr-", nil, exitFailed, []string{"the rule keeps no tag"}, 1},
		"old name":      {"", "", nil, 0, []string{"removed: 1 blob, 1 link"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := looseBlob(t, c.hook)
			p, stdout, stderr := withStore(d)
			if c.env != "" {
				p.env = append(p.env, c.env)
			}
			command := "gc"
			if name == "old name" {
				command = "garbage-collect"
			}
			says(t, p, stdout, stderr, command+" "+c.args, c.code, c.says)
			if got := blobsLeft(t, d); got != c.left {
				t.Errorf("%d blobs are left, want %d", got, c.left)
			}
		})
	}
}

func TestGCWithoutConditions(t *testing.T) {
	d := looseBlob(t, nil)
	p, _, stderr := withStore(plain{d})
	if code := p.run([]string{"gc"}); code != exitFailed || !strings.Contains(stderr.String(), "only one ever runs") || !strings.Contains(stderr.String(), "gc.sole") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	p.env = append(p.env, "LONGSHORE_GC_SOLE=true")
	if code := p.run([]string{"gc"}); code != 0 || blobsLeft(t, d) != 0 {
		t.Errorf("with gc.sole: exit code %d, %s", code, stderr)
	}
}

func TestRetentionRules(t *testing.T) {
	for text, bad := range map[string]string{
		"ci/** tags=^pr- last=10 younger=30d":   "",
		"** pulled=90d always=^v[0-9] always=x": "",
		"a younger=36h":                         "",
		"":                                      "empty rule",
		"last=3":                                "begins with a pattern",
		"a":                                     "keeps no tag",
		"a tags=x":                              "keeps no tag",
		"a last":                                "with a value",
		"a last=0":                              "1 at least",
		"a last=many":                           "invalid syntax",
		"a younger=1y":                          "unknown unit",
		"a younger=-3d":                         "not a number of days",
		"a younger=0h":                          "not longer than nothing",
		"a tags=( last=1":                       "missing closing",
		"a keep=3":                              "use tags=",
		"/a last=1":                             "slash",
	} {
		var r retentionRule
		err := r.UnmarshalText([]byte(text))
		if bad == "" && (err != nil || r.String() != text) {
			t.Errorf("%q: %v, printed %q", text, err, r)
		} else if bad != "" && (err == nil || !strings.Contains(err.Error(), bad)) {
			t.Errorf("%q: error %v, want one with %q", text, err, bad)
		}
	}
}
