package registry

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers/memory"
)

var seed = flag.Uint64("seed", 0, "of TestClientsAtOnce; 0 takes a new one")

// Many clients push, mount, move and delete on three replicas at once while the store fails now and then, with and without
// effect. Each client has tags of its own, blobs are shared by all. What a client was told has to be true in the end, on every replica.
func TestClientsAtOnce(t *testing.T) {
	seed := cmp.Or(*seed, rand.Uint64())
	t.Logf("-seed %d plans the same", seed)
	const clients, steps = 12, 60
	base := newStore(t)
	open(t, base) // so that the replicas find a store
	var replicas []*Registry
	var begun atomic.Bool
	for i := range uint64(3) {
		var mu sync.Mutex
		faults := rand.New(rand.NewPCG(seed, i))
		replicas = append(replicas, open(t, base.Reopen(func(context.Context, string, string) memory.Outcome {
			mu.Lock()
			defer mu.Unlock()
			if !begun.Load() {
				return memory.Outcome{}
			}
			switch faults.IntN(100) {
			case 0:
				return memory.Outcome{Err: errors.New("planted: not done")}
			case 1:
				return memory.Outcome{Err: errors.New("planted: reply lost"), Stored: true}
			}
			return memory.Outcome{}
		})))
	}
	begun.Store(true)
	var wg sync.WaitGroup
	all := make([]*client, clients)
	for i := range all {
		c := &client{t: t, replicas: replicas, random: rand.New(rand.NewPCG(seed, uint64(100+i))), id: i, tags: map[string]state{}}
		all[i] = c
		wg.Go(func() {
			for range steps {
				c.step()
			}
		})
	}
	wg.Wait()
	pushes, present := 0, 0
	for _, replica := range []*Registry{open(t, base.Reopen(nil)), open(t, base.Reopen(nil))} {
		for _, c := range all {
			pushes += c.pushes
			present += c.check(replica)
		}
	}
	t.Logf("%d pushes were answered, %d tags pulled back", pushes/2, present/2)
	if present == 0 {
		t.Error("nothing was there to be checked")
	}
}

// client does one thing after the other, and notes what it was told.
type client struct {
	t        *testing.T
	replicas []*Registry
	random   *rand.Rand
	id       int
	tags     map[string]state // by repository and tag
	pushes   int
}

// state is what the client knows of one of its tags.
type state struct {
	repo, tag string
	digest    digest.Digest // "" for absent
	layers    [][]byte
	unknown   bool // the last answer was an error
}

func (c *client) replica() *Registry { return c.replicas[c.random.IntN(len(c.replicas))] }

func (c *client) step() {
	ctx := c.t.Context()
	repo := fmt.Sprintf("r%d", c.random.IntN(3))
	tag := fmt.Sprintf("c%d-%d", c.id, c.random.IntN(4))
	key := repo + ":" + tag
	before := c.tags[key]
	before.repo, before.tag = repo, tag
	switch c.random.IntN(10) {
	case 0, 1: // untag
		err := c.replica().DeleteTag(ctx, repo, tag)
		c.deleted(key, before, err)
	case 2: // delete the manifest, and with it all tags of it; it is this client's alone
		if before.digest == "" || before.unknown {
			return
		}
		err := c.replica().DeleteManifest(ctx, repo, before.digest, false)
		for k, s := range c.tags {
			if s.repo == repo && s.digest == before.digest {
				c.deleted(k, s, err)
			}
		}
	default:
		c.push(key, before)
	}
}

func (c *client) deleted(key string, s state, err error) {
	if err != nil && !HasCode(err, ManifestUnknown) {
		s.unknown = true
		c.tags[key] = s
		return
	}
	if HasCode(err, ManifestUnknown) && s.digest != "" && !s.unknown {
		c.t.Errorf("%s was pushed and is unknown", key)
	}
	delete(c.tags, key)
}

func (c *client) push(key string, s state) {
	ctx := c.t.Context()
	config := fmt.Appendf(nil, `{"client":%d,"variant":%d}`, c.id, c.random.IntN(3))
	s.layers = [][]byte{config}
	layers := []digest.Digest{}
	for range 1 + c.random.IntN(3) {
		b := fmt.Appendf(nil, "layer %d", c.random.IntN(6))
		s.layers = append(s.layers, b)
		layers = append(layers, digest.FromBytes(b))
	}
	s.unknown = true
	defer func() { c.tags[key] = s }()
	for _, b := range s.layers {
		if err := c.pushBlob(ctx, s.repo, b); err != nil {
			s.unknown = c.tags[key].unknown // the tag was not touched
			s.digest, s.layers = c.tags[key].digest, c.tags[key].layers
			return
		}
	}
	pushed, err := c.replica().PushManifest(ctx, Push{Repo: s.repo, Tags: []string{s.tag}, Body: imageOf(c.t, digest.FromBytes(config), layers...)})
	if err != nil {
		if HasCode(err, ManifestBlobUnknown) {
			c.t.Errorf("%s: blobs that were pushed are unknown: %v", key, err)
		}
		return
	}
	s.digest, s.unknown = pushed.Digest, false
	c.pushes++
}

func (c *client) pushBlob(ctx context.Context, repo string, b []byte) error {
	d := digest.FromBytes(b)
	switch c.random.IntN(3) {
	case 0:
		if mounted, err := c.replica().Mount(ctx, repo, fmt.Sprintf("r%d", c.random.IntN(3)), d); mounted || err != nil {
			return err
		}
	case 1:
		if _, err := c.replica().Blob(ctx, repo, d); err == nil || !HasCode(err, BlobUnknown) {
			return err
		}
	}
	u, err := c.replica().StartUpload(repo, "")
	if err != nil {
		return err
	}
	if u, err = c.replica().Append(ctx, repo, u.ID, u.Value, chunk(b)); err != nil {
		return err
	}
	_, err = c.replica().Finish(ctx, repo, u.ID, u.Value, chunk(nil), d)
	return err
}

// check pulls what the client knows, and counts it.
func (c *client) check(r *Registry) (present int) {
	for key, s := range c.tags {
		if s.unknown {
			continue
		}
		m, err := r.ManifestByTag(c.t.Context(), s.repo, s.tag)
		if s.digest == "" {
			if !HasCode(err, ManifestUnknown) {
				c.t.Errorf("%s was deleted and is there (%v)", key, err)
			}
			continue
		}
		if err != nil || m.Digest != s.digest {
			c.t.Errorf("%s: %v, want %s", key, err, s.digest)
			continue
		}
		for _, b := range s.layers {
			wantBlob(c.t, r, s.repo, b, digest.FromBytes(b))
		}
		present++
	}
	return present
}
