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

// lostRecord is a store with an image, pushed a week ago, whose only blob has lost its record.
func lostRecord(t *testing.T, lost []string, hook memory.Hook) *memory.Driver {
	t.Helper()
	past := 7 * 24 * time.Hour
	now := func() time.Time { return time.Now().Add(-past) }
	d := memory.New(memory.Options{Now: func() time.Time { return now() }})
	r, err := registry.Open(t.Context(), d, registry.Options{Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte("{}")
	blob := digest.FromBytes(body)
	if err := r.PutBlob(t.Context(), "a", registry.Chunk{Body: bytes.NewReader(body), Length: 2}, blob); err != nil {
		t.Fatal(err)
	}
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"digest":"` + blob.String() + `","size":2},"layers":[]}`
	if _, err := r.PushManifest(t.Context(), registry.Push{Repo: "a", Tags: []string{"t"}, Body: []byte(manifest)}); err != nil {
		t.Fatal(err)
	}
	r.Close()
	past = 0
	for _, prefix := range lost {
		for entry, err := range d.List(t.Context(), prefix, "", "") {
			if err == nil {
				err = d.Delete(t.Context(), entry.Key)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return d.Reopen(hook)
}

func TestRebuild(t *testing.T) {
	refuse := func(_ context.Context, op, key string) memory.Outcome {
		if op == "putifabsent" && strings.HasPrefix(key, "blobs/") {
			return memory.Outcome{Err: drivers.ErrDenied}
		}
		return memory.Outcome{}
	}
	busy := func(_ context.Context, op, key string) memory.Outcome {
		if op == "putifabsent" && key == "gc/lease" {
			return memory.Outcome{Err: drivers.ErrReadOnly}
		}
		return memory.Outcome{}
	}
	records := []string{"blobs/"}
	for name, c := range map[string]struct {
		args string
		lost []string
		hook memory.Hook
		code int
		says []string
	}{
		"nothing":   {"", nil, nil, 0, []string{"done: nothing\n", "missing: 0 blobs, incomplete: 0 manifests"}},
		"dry":       {"--dry-run", records, nil, 0, []string{"blob ", "2 B  blobs/sha256/", "its bytes are at data/", "would be done: 1 blob"}},
		"record":    {"", records, nil, 0, []string{"done: 1 blob\n", "hashed: 2 B of one object"}},
		"each":      {"-v", []string{"catalog/"}, nil, 0, []string{"catalog/a-  it has manifests or tags", "done: 1 repository\n"}},
		"format":    {"", []string{"format"}, nil, 0, []string{"done: 1 format\n"}},
		"as JSON":   {"-v -o json", records, nil, 0, []string{`"kind":"blob"`, `"done":{"blob":1}`, `"missing":0`}},
		"gone":      {"", []string{"blobs/", "data/"}, nil, exitFailed, []string{"incomplete: a@sha256:", "(t)\n", "blob     sha256:", "incomplete: one manifest; missing: one blob", "Push these images again"}},
		"gone JSON": {"-o json", []string{"blobs/", "data/"}, nil, exitFailed, []string{`{"kind":"incomplete","repository":"a","manifest":"sha256:`, `"tags":["t"]`}},
		"refused":   {"", records, refuse, exitFailed, []string{"not done: memory: ", "one failure: the store refused a part"}},
		"read-only": {"", records, busy, exitFailed, []string{"cannot take gc/lease: "}},
		"usage":     {"--prune", nil, nil, exitUsage, []string{"unknown flag"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, stdout, stderr := withStore(lostRecord(t, c.lost, c.hook))
			says(t, p, stdout, stderr, "rebuild"+" "+c.args, c.code, c.says)
		})
	}
}

func TestRebuildWithoutConditions(t *testing.T) {
	p, _, stderr := withStore(plain{lostRecord(t, []string{"blobs/"}, nil)})
	if code := p.run([]string{"rebuild"}); code != exitFailed || !strings.Contains(stderr.String(), "Set gc.sole") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	p.env = append(p.env, "LONGSHORE_GC_SOLE=true")
	if code := p.run([]string{"rebuild"}); code != 0 {
		t.Errorf("with gc.sole: exit code %d, %s", code, stderr)
	}
}
