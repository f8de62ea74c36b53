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

// damagedStore has an image, of whose blobs bytes are changed if that is asked for, and a key of somebody else.
func damagedStore(t *testing.T, damage bool) *memory.Driver {
	t.Helper()
	d := memory.New(memory.Options{})
	r, err := registry.Open(t.Context(), d, registry.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body := bytes.Repeat([]byte("x"), 2048)
	config := digest.FromBytes(body)
	manifest := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"` +
		config.String() + `","size":2048},"layers":[]}`
	if err := r.PutBlob(t.Context(), "a", registry.Chunk{Body: bytes.NewReader(body), Length: 2048}, config); err != nil {
		t.Fatal(err)
	}
	if _, err := r.PushManifest(t.Context(), registry.Push{Repo: "a", Tags: []string{"v1"}, Body: []byte(manifest)}); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(t.Context(), "notes.txt", nil); err != nil {
		t.Fatal(err)
	}
	for e, err := range d.List(t.Context(), "data/", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if damage {
			body[7] = 'y'
			if err := d.Put(t.Context(), e.Key, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	return d
}

func TestScrub(t *testing.T) {
	refuse := func(_ context.Context, op, key string) memory.Outcome {
		if op == "reader" && strings.HasPrefix(key, "repos/a/_tags/") {
			return memory.Outcome{Err: drivers.ErrDenied}
		}
		return memory.Outcome{}
	}
	for name, c := range map[string]struct {
		args   string
		damage bool
		hook   memory.Hook
		code   int
		says   []string
	}{
		"healthy":      {"", false, nil, 0, []string{"found: 1 foreign; 0 repaired or moved, 0 left", "1 repositories, 1 tags, 1 manifests, 1 links, 1 blobs of 2.0 KiB", "note         notes.txt"}},
		"with bytes":   {"--bytes --rate 50MB/s", false, nil, 0, []string{"read: the bytes of 1 blobs, 2.0 KiB"}},
		"damaged":      {"--bytes", true, nil, exitFailed, []string{"bytes              damage       blobs/sha256/", "its data has the digest sha256:", "images: a:v1", "1 left", "one damaged thing left", "with --repair"}},
		"not looked":   {"", true, nil, 0, []string{"0 left"}},
		"moved":        {"--bytes --repair", true, nil, exitFailed, []string{"bytes              quarantined  blobs/sha256/", "images: a:v1", "1 repaired or moved, 1 left"}},
		"as JSON":      {"--bytes -o json", true, nil, exitFailed, []string{`"kind":"bytes"`, `"images":["a:v1"]`, `"open":true`, `"requests":`, `"readBlobs":4096`}},
		"unread":       {"", false, refuse, exitFailed, []string{"unread             damage       repos/a/_tags/v1", "the store failed to read it"}},
		"rate":         {"--rate fast", false, nil, exitUsage, []string{`--rate: "fast" is not a size`}},
		"no rate":      {"--rate 0", false, nil, exitUsage, []string{"more than nothing"}},
		"readers":      {"--readers 0", false, nil, exitUsage, []string{"--readers"}},
		"two files":    {"a b", false, nil, exitUsage, nil},
		"unknown flag": {"--fix", false, nil, exitUsage, []string{"unknown flag"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := damagedStore(t, c.damage).Reopen(c.hook)
			p, stdout, stderr := withStore(d)
			says(t, p, stdout, stderr, "scrub --pause 1ms"+" "+c.args, c.code, c.says)
		})
	}
}

// A scrub makes no registry of what is none, and repairs nothing where it can't see collectors.
func TestScrubElsewhere(t *testing.T) {
	empty := memory.New(memory.Options{})
	p, _, stderr := withStore(empty)
	if code := p.run([]string{"scrub"}); code != exitFailed || !strings.Contains(stderr.String(), "no format record") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	for e := range empty.List(t.Context(), "", "", "") {
		t.Errorf("made %s", e.Key)
	}
	d := damagedStore(t, false)
	p, _, stderr = withStore(plain{d})
	if code := p.run([]string{"scrub", "--repair"}); code != exitFailed || !strings.Contains(stderr.String(), "gc.sole") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	p.env = append(p.env, "LONGSHORE_GC_SOLE=true")
	if code := p.run([]string{"scrub", "--repair"}); code != 0 {
		t.Errorf("with gc.sole: exit code %d, %s", code, stderr)
	}
}

// An interrupted scrub reports what it has found.
func TestScrubInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := damagedStore(t, true).Reopen(func(_ context.Context, op, key string) memory.Outcome {
		if op == "list" && key == "catalog/" {
			cancel()
		}
		return memory.Outcome{}
	})
	p, stdout, _ := withStore(d)
	err := p.scrub(ctx, nil, registry.ScrubOptions{Bytes: true, Pause: time.Millisecond}, false)
	if err == nil || !strings.Contains(err.Error(), "interrupted") || !strings.Contains(stdout.String(), "bytes              damage       blobs/sha256/") {
		t.Errorf("%v\n%s", err, stdout)
	}
}
