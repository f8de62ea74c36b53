package index

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/counting"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
)

// replica is a process with a clock of its own.
type replica struct {
	*Index
	t   *testing.T
	r   *registry.Registry
	now time.Time
}

func newReplica(t *testing.T, d drivers.Driver, o Options) *replica {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	r, err := registry.Open(t.Context(), d, registry.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	one := &replica{t: t, r: r, now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	o.Now, o.Log = func() time.Time { return one.now }, log
	one.Index = New(r, d, o)
	return one
}

// later moves the clocks of replicas.
func later(d time.Duration, all ...*replica) {
	for _, r := range all {
		r.now = r.now.Add(d)
	}
}

func (r *replica) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// image is what a test pushes; labels and annotations are "key=value".
type image struct{ repo, tag, labels, annotations string }

func pairs(text string) map[string]string {
	all := map[string]string{}
	for one := range strings.SplitSeq(text, ";") {
		if key, value, ok := strings.Cut(one, "="); ok {
			all[key] = value
		}
	}
	return all
}

// store pushes an image as another program would, of which the index knows nothing.
func (r *replica) store(i image) digest.Digest {
	r.t.Helper()
	blob := func(mediaType string, body []byte) v1.Descriptor {
		d := digest.FromBytes(body)
		r.check(r.r.PutBlob(r.t.Context(), i.repo, registry.Chunk{Body: strings.NewReader(string(body)), Length: int64(len(body))}, d))
		return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body))}
	}
	var config v1.Image
	config.Config.Labels = pairs(i.labels)
	body, err := json.Marshal(config)
	r.check(err)
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Config: blob(v1.MediaTypeImageConfig, body), Annotations: pairs(i.annotations)}
	m.SchemaVersion = 2
	m.Layers = []v1.Descriptor{blob(v1.MediaTypeImageLayer, make([]byte, 100))}
	body, err = json.Marshal(m)
	r.check(err)
	pushed, err := r.r.PushManifest(r.t.Context(), registry.Push{Repo: i.repo, Tags: []string{i.tag}, ContentType: m.MediaType, Body: body, By: "alice"})
	r.check(err)
	return pushed.Digest
}

// push is what the HTTP API does.
func (r *replica) push(i image) {
	r.t.Helper()
	r.Pushed(Push{Repo: i.repo, Tag: i.tag, Digest: r.store(i), By: "alice"})
}

// wantFound searches, and compares names.
func (r *replica) wantFound(text string, want ...string) {
	r.t.Helper()
	found, err := r.Search(r.t.Context(), Query{Text: text, Limit: 100})
	r.check(err)
	if got := names(found); !slices.Equal(got, want) {
		r.t.Errorf("%q: found %q, want %q", text, got, want)
	}
}

func names(r Result) []string {
	all := []string{}
	for _, about := range r.Repositories {
		all = append(all, about.Repo)
	}
	return all
}

// stores are those of a test of several processes.
func stores(t *testing.T, test func(t *testing.T, d drivers.Driver)) {
	t.Run("memory", func(t *testing.T) { test(t, memory.New(memory.Options{})) })
	t.Run("fs", func(t *testing.T) {
		d, err := fs.Open(t.Context(), fs.Config{Root: t.TempDir(), Durability: fs.Fast})
		if err != nil {
			t.Fatal(err)
		}
		test(t, d)
	})
}

func TestReplicas(t *testing.T) {
	stores(t, func(t *testing.T, d drivers.Driver) {
		a, b := newReplica(t, d, Options{}), newReplica(t, d, Options{})
		a.push(image{"team/app", "v1", "vendor=ACME", "org.opencontainers.image.description=Sells Socks"})
		a.wantFound("app", "team/app") // by its name, at once
		a.check(a.flush(t.Context(), false))
		for _, r := range []*replica{a, b} {
			later(lookEvery, a, b)
			r.wantFound("app", "team/app")
			r.wantFound("socks", "team/app")
			r.wantFound("vendor=acme", "team/app")
			r.wantFound("socks hats")
		}
		about, _ := b.About("team/app")
		if about.Tag != "v1" || about.By != "alice" || about.Size < 100 || about.Description != "Sells Socks" || !about.Pushed.Equal(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)) {
			t.Errorf("known is %+v", about)
		}
		b.push(image{repo: "team/app", tag: "v2"})
		b.check(b.flush(t.Context(), false))
		later(lookEvery, a, b)
		a.wantFound("socks")
		b.check(b.r.DeleteRepository(t.Context(), "team/app"))
		b.Deleted("team/app")
		b.wantFound("app")
		b.check(b.flush(t.Context(), false))
		later(lookEvery, a, b)
		a.wantFound("app")
		a.push(image{repo: "team/app", tag: "v3"})
		a.check(a.flush(t.Context(), false))
		later(lookEvery, a, b)
		b.wantFound("app", "team/app")
	})
}

func TestPullsOfReplicasAddUp(t *testing.T) {
	stores(t, func(t *testing.T, d drivers.Driver) {
		a, b := newReplica(t, d, Options{}), newReplica(t, d, Options{})
		a.push(image{repo: "x", tag: "v1"})
		for range 10 {
			a.Pulled("x")
			b.Pulled("x")
		}
		var both sync.WaitGroup
		both.Go(func() { a.check(a.flush(t.Context(), true)) })
		both.Go(func() { b.check(b.flush(t.Context(), true)) })
		both.Wait()
		later(lookEvery, a, b)
		for _, r := range []*replica{a, b} {
			r.wantFound("x", "x")
			if about, _ := r.About("x"); about.Pulls != 20 {
				t.Errorf("%d pulls, want 20", about.Pulls)
			}
		}
	})
}

func TestPullsAreWrittenSeldom(t *testing.T) {
	a := newReplica(t, memory.New(memory.Options{}), Options{})
	a.store(image{repo: "x", tag: "v1"})
	a.Pulled("x")
	a.check(a.flush(t.Context(), false))
	if d, _, err := a.read(t.Context(), "x"); err != nil || d.Rev != 0 {
		t.Errorf("written at once: %+v, %v", d, err)
	}
	later(pullsEvery, a)
	a.check(a.flush(t.Context(), false))
	if d, _, err := a.read(t.Context(), "x"); err != nil || d.Pulls != 1 || d.Tag != "v1" {
		t.Errorf("the document is %+v, %v", d, err)
	}
}

// TestCompare is about what no process has told of: it was pushed, or deleted, by another program, or the process died.
func TestCompare(t *testing.T) {
	stores(t, func(t *testing.T, d drivers.Driver) {
		a, b := newReplica(t, d, Options{}), newReplica(t, d, Options{})
		for i := range 3 {
			a.store(image{fmt.Sprintf("r%d", i), "v1", "", "name=number " + fmt.Sprint(i)})
		}
		a.store(image{repo: "r1", tag: "sha256-0000000000000000000000000000000000000000000000000000000000000000.sig", annotations: "name=signature"})
		if found, err := a.Search(t.Context(), Query{Limit: 1}); err != nil || !found.Incomplete {
			t.Errorf("before all was read: %+v, %v", found, err)
		}
		if n, err := a.compare(t.Context(), false); n != 3 || err != nil {
			t.Errorf("%d were written, %v", n, err)
		}
		a.wantFound("number", "r0", "r1", "r2")
		if n, err := b.compare(t.Context(), false); n != 0 || err != nil {
			t.Errorf("the other replica wrote %d, %v", n, err)
		}
		b.wantFound("number", "r0", "r1", "r2")
		a.check(a.r.DeleteRepository(t.Context(), "r1"))
		a.store(image{repo: "r", tag: "v1"})
		if n, err := a.compare(t.Context(), false); n != 2 || err != nil {
			t.Errorf("%d were written, %v", n, err)
		}
		a.wantFound("r", "r", "r0", "r2")
		later(lookEvery, a, b)
		b.wantFound("r", "r", "r0", "r2")
		a.Pulled("r0")
		a.check(a.flush(t.Context(), true))
		if n, err := b.Rebuild(t.Context()); n != 3 || err != nil {
			t.Errorf("%d were rebuilt, %v", n, err)
		}
		if about, _ := b.About("r0"); about.Pulls != 1 {
			t.Errorf("a rebuild leaves %d pulls, want 1", about.Pulls)
		}
	})
}

// TestRequests is what a search and a second comparison take from the store.
func TestRequests(t *testing.T) {
	d := memory.New(memory.Options{})
	writer := newReplica(t, d, Options{})
	for i := range 30 {
		writer.push(image{repo: fmt.Sprintf("r%d", i), tag: "v1"})
	}
	writer.check(writer.flush(t.Context(), false))
	counted := counting.New(d, counting.Options{})
	a := newReplica(t, counted, Options{})
	want := func(what string, n int) {
		t.Helper()
		if got := counted.Counts().Total(); got != n {
			t.Errorf("%s: %d requests, want %d", what, got, n)
		}
		counted.Reset()
	}
	counted.Reset()
	_, err := a.compare(t.Context(), false)
	a.check(err)
	want("the first comparison", 2+30)
	_, err = a.compare(t.Context(), false)
	a.check(err)
	want("the next one", 2)
	later(lookEvery, a)
	a.wantFound("r7", "r7")
	want("a search", 1+1) // one change was written in the last two minutes
	a.wantFound("r8", "r8")
	want("a search soon after", 0)
	later(lookEvery, a)
	a.wantFound("r8", "r8")
	want("a search later", 1)
}

// TestStoreDown is about writes that fail: nothing is lost, and those that can't ever work are not kept.
func TestStoreDown(t *testing.T) {
	var fails error
	a := newReplica(t, memory.New(memory.Options{Hook: func(_ context.Context, op, key string) memory.Outcome {
		if strings.HasPrefix(key, "index/") && strings.HasPrefix(op, "put") {
			return memory.Outcome{Err: fails}
		}
		return memory.Outcome{}
	}}), Options{})
	a.push(image{repo: "x", tag: "v1"})
	fails = errors.New("down")
	if a.flush(t.Context(), false) == nil {
		t.Error("no error")
	}
	a.wantFound("x", "x")
	fails = nil
	a.check(a.flush(t.Context(), false))
	if got, _, err := a.read(t.Context(), "x"); err != nil || got.Tag != "v1" {
		t.Errorf("after the store was down: %+v, %v", got, err)
	}
	a.Pulled("x")
	fails = drivers.ErrReadOnly
	if err := a.flush(t.Context(), true); !errors.Is(err, drivers.ErrReadOnly) {
		t.Error(err)
	}
	if len(a.pending) > 0 {
		t.Error("a change is kept that can't be written")
	}
}

func TestSweep(t *testing.T) {
	d := memory.New(memory.Options{})
	a := newReplica(t, d, Options{})
	count := func() (n int) {
		for _, err := range d.List(t.Context(), changesPrefix, "", "") {
			a.check(err)
			n++
		}
		return n
	}
	for i := range 5 {
		a.push(image{repo: "x", tag: fmt.Sprint("v", i)})
		a.check(a.flush(t.Context(), false))
		later(time.Second, a)
	}
	if n := count(); n != 5 {
		t.Errorf("%d changes, want 5", n)
	}
	later(changesKept, a)
	a.push(image{repo: "x", tag: "last"})
	a.check(a.flush(t.Context(), false))
	if n := count(); n != 1 {
		t.Errorf("%d changes are left, want 1", n)
	}
}

func TestRun(t *testing.T) {
	d := memory.New(memory.Options{})
	a := newReplica(t, d, Options{})
	a.store(image{repo: "x", tag: "v1"})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx)
	}()
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		if found, err := a.Search(t.Context(), Query{Limit: 1}); err != nil || !found.Incomplete {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("the index is not read")
		}
	}
	a.wantFound("x", "x")
	a.Pulled("x")
	cancel()
	<-ended
	if got, _, err := a.read(t.Context(), "x"); err != nil || got.Pulls != 1 {
		t.Errorf("after the end: %+v, %v", got, err)
	}
}
