package registry

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

var scrubs = flag.Int("scrubs", 15, "how often the store is scrubbed while clients use it")

// crowd are clients that push, mount and delete what others push, mount and delete, with a collector.
type crowd struct {
	t     *testing.T
	clk   *clock
	d     drivers.Driver
	calm  sync.RWMutex // held for writing while time moves on
	whole sync.RWMutex // held for writing while a repository is deleted: a push that goes on meanwhile may lose its blobs' links, and that would be found
	stop  chan struct{}
	group sync.WaitGroup

	mu   sync.Mutex
	kept map[string]digest.Digest // tags in repositories where nobody deletes anything
}

// run does something over and over, until the crowd goes home.
func (c *crowd) run(do func() error) {
	c.group.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			default:
			}
			c.calm.RLock()
			err := do()
			c.calm.RUnlock()
			var known *Error
			var several Errors
			if err != nil && !errors.As(err, &known) && !errors.As(err, &several) && !errors.Is(err, drivers.ErrThrottled) && !errors.Is(err, ErrCollecting) {
				c.t.Error(err)
				return
			}
		}
	})
}

// client does random things.
func (c *crowd) client(n uint64) {
	r := c.clk.open(c.t, c.d)
	random := rand.New(rand.NewPCG(n, 1))
	ctx := c.t.Context()
	c.run(func() error {
		repo := []string{"x", "x/y", "z"}[random.IntN(3)]
		body := randomBytes(uint64(random.IntN(8)), 50)
		d := digest.FromBytes(body)
		image := imageOf(c.t, d, digest.FromBytes(randomBytes(uint64(random.IntN(8)), 50)))
		tag := fmt.Sprint("t", random.IntN(4))
		push := func() error {
			_, err := r.PushManifest(ctx, Push{Repo: repo, Tags: []string{tag}, Body: image})
			return err
		}
		what := random.IntN(200)
		if what == 0 {
			c.whole.Lock()
			defer c.whole.Unlock()
			return r.DeleteRepository(ctx, repo)
		}
		c.whole.RLock()
		defer c.whole.RUnlock()
		switch what % 9 {
		case 0, 1, 2:
			return r.PutBlob(ctx, repo, chunk(body), d)
		case 3, 4:
			return push()
		case 5:
			if err := push(); err != nil {
				return err
			}
			m, err := r.Resolve(ctx, repo, tag)
			if err != nil {
				return err
			}
			_, err = r.PushManifest(ctx, Push{Repo: repo, Tags: []string{"index"}, Body: indexOf(c.t, m)})
			return err
		case 6:
			_, err := r.Mount(ctx, repo, "z", d)
			return err
		case 7:
			m, err := r.Resolve(ctx, repo, tag)
			if err != nil {
				return err
			}
			return r.DeleteManifest(ctx, repo, m, false)
		default:
			return r.DeleteTag(ctx, repo, tag)
		}
	})
}

// keeper pushes images into a repository of its own, of the blobs that the others use.
func (c *crowd) keeper(n int) {
	r := c.clk.open(c.t, c.d)
	repo := fmt.Sprint("kept/", n)
	i := uint64(0)
	c.run(func() error {
		i++
		a, b := randomBytes(i%8, 50), randomBytes((i*5+1)%8, 50)
		for _, body := range [][]byte{a, b} {
			if err := r.PutBlob(c.t.Context(), repo, chunk(body), digest.FromBytes(body)); err != nil {
				return err
			}
		}
		tag := fmt.Sprint("t", i%16)
		p, err := r.PushManifest(c.t.Context(), Push{Repo: repo, Tags: []string{tag}, Body: imageOf(c.t, digest.FromBytes(a), digest.FromBytes(b))})
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.kept[repo+":"+tag] = p.Digest
		}
		return err
	})
}

func newCrowd(t *testing.T) *crowd {
	clk := &clock{}
	return &crowd{t: t, clk: clk, d: memory.New(memory.Options{Now: clk.now}), stop: make(chan struct{}), kept: map[string]digest.Digest{}}
}

// home ends all that the crowd does, and pulls what was to be kept.
func (c *crowd) home() {
	close(c.stop)
	c.group.Wait()
	r := c.clk.open(c.t, c.d)
	for image, want := range c.kept {
		repo, tag, _ := strings.Cut(image, ":")
		m, err := r.ManifestByTag(c.t.Context(), repo, tag)
		if err != nil || m.Digest != want {
			c.t.Errorf("%s: %v, want %s", image, err, want)
			continue
		}
		for _, one := range readContent(m.Body).named() {
			b, err := r.Blob(c.t.Context(), repo, one.Digest)
			if err != nil {
				c.t.Errorf("%s lacks %s: %v", image, one.Digest, err)
				continue
			}
			body, err := r.OpenBlob(c.t.Context(), b, 0, -1)
			must(c.t, err)
			body.Close()
		}
	}
}

// TestScrubBesideClients scrubs while clients push, mount and delete, and a collector collects: nothing is wrong, so nothing may be found.
func TestScrubBesideClients(t *testing.T) {
	c := newCrowd(t)
	for n := range uint64(6) {
		c.client(n)
	}
	for n := range 2 {
		c.keeper(n)
	}
	collector := c.clk.open(t, c.d)
	c.run(func() error {
		_, err := collector.Collect(t.Context(), CollectOptions{Untagged: time.Hour})
		return err
	})
	r := c.clk.open(t, c.d)
	doubted := 0
	for i := range *scrubs {
		if i%10 == 0 {
			c.calm.Lock()
			c.clk.later(grace + time.Hour)
			c.calm.Unlock()
		}
		c.calm.RLock()
		_, err := r.Scrub(t.Context(), ScrubOptions{
			Bytes: i%2 == 0, Repair: i%4 > 1, Pause: 2 * time.Second,
			Found: func(f Finding) {
				doubted++
				if f.Open || f.Done != "" {
					t.Errorf("round %d: %s %s: %s (%v)", i, f.Kind, f.Key, f.Reason, f.Err)
				}
			},
		})
		c.calm.RUnlock()
		must(t, err)
		if t.Failed() {
			break
		}
	}
	c.home()
	t.Logf("%d things were remarked on", doubted)
	if found, report := scrub(t, r, ScrubOptions{Bytes: true}); report.Open > 0 {
		t.Errorf("%+v", found)
	}
}

// TestScrubBesidePushesOfDamagedBlobs damages blobs while clients push them again and again. What is damaged when all have gone home is found, and moved, and whole after one more push; what is left
// was never damaged, or healed.
func TestScrubBesidePushesOfDamagedBlobs(t *testing.T) {
	c := newCrowd(t)
	for n := range 4 {
		c.keeper(n)
	}
	collector := c.clk.open(t, c.d)
	c.run(func() error {
		_, err := collector.Collect(t.Context(), CollectOptions{Untagged: time.Hour})
		return err
	})
	r := c.clk.open(t, c.d)
	random := rand.New(rand.NewPCG(1, 2))
	damaged, moved := 0, 0
	for damaged < 3**scrubs && !t.Failed() {
		d := digest.FromBytes(randomBytes(uint64(random.IntN(8)), 50))
		record, err := r.readRecord(t.Context(), d)
		if err != nil {
			continue // not pushed yet
		}
		damaged++
		if random.IntN(2) == 0 {
			must(t, c.d.Delete(t.Context(), record.Data))
		} else {
			must(t, c.d.Put(t.Context(), record.Data, randomBytes(100, 50)))
		}
		_, err = r.Scrub(t.Context(), ScrubOptions{Bytes: true, Repair: true, Pause: 10 * time.Millisecond, Found: func(f Finding) {
			switch f.Kind {
			case FoundBytes, FoundMissingData:
				if f.Done == MendedQuarantined {
					moved++
				}
			case FoundQuarantined, FoundMissingBlob, FoundIncomplete:
			default:
				t.Errorf("%s %s: %s (%v)", f.Kind, f.Key, f.Reason, f.Err)
			}
		}})
		must(t, err)
	}
	close(c.stop)
	c.group.Wait()
	if moved == 0 {
		t.Errorf("%d blobs were damaged, none moved", damaged)
	}
	for i := range uint64(8) { // by a process that remembers what it has pushed
		body := randomBytes(i, 50)
		must(t, r.PutBlob(t.Context(), "healed", chunk(body), digest.FromBytes(body)))
	}
	if found, report := scrub(t, r, ScrubOptions{Bytes: true, DropQuarantined: true}); report.Open > 0 {
		t.Errorf("%+v", found)
	}
	c.stop = make(chan struct{})
	c.home()
}

// A process that remembers a record does not take it for the blob's when that was moved.
func TestScrubMakesProcessesForget(t *testing.T) {
	clk := &clock{}
	s := newScrubbed(t, memory.New(memory.Options{Now: clk.now}), clk)
	other := clk.open(t, s.d)
	wantBlob(t, other, "b", s.bytes[s.layer], s.layer)
	s.corrupt(s.layer)
	scrub(t, clk.open(t, s.d), ScrubOptions{Bytes: true, Repair: true})
	for _, r := range []*Registry{s.r, other} {
		for _, repo := range []string{"a", "b"} {
			_, err := r.Blob(t.Context(), repo, s.layer)
			wantCode(t, err, BlobUnknown)
		}
		clk.later(time.Hour) // what a process has linked itself it trusts for two minutes
		_, err := r.PushManifest(t.Context(), Push{Repo: "a", Tags: []string{"new"}, Body: imageOf(t, s.layer)})
		wantCode(t, err, ManifestBlobUnknown)
	}
	s.again("b", s.layer)
	wantBlob(t, other, "a", s.bytes[s.layer], s.layer)
	s.pull()
}

// Collections keep the bytes of what was moved until that is dropped; then nothing is left.
func TestCollectionsKeepWhatIsInQuarantine(t *testing.T) {
	for name, damage := range map[string]func(s *scrubbed, d digest.Digest){
		"other bytes": func(s *scrubbed, d digest.Digest) { s.corrupt(d) },
		"wrong size": func(s *scrubbed, d digest.Digest) {
			s.put(recordKey(d), strings.Replace(s.get(recordKey(d)), "5000", "4999", 1))
		},
		"unknown record": func(s *scrubbed, d digest.Digest) { s.put(recordKey(d), "x") },
	} {
		t.Run(name, func(t *testing.T) {
			clk := &clock{}
			s := newScrubbed(t, memory.New(memory.Options{Now: clk.now}), clk)
			data := s.data(s.layer)
			damage(s, s.layer)
			// A collector died when it was about to delete this blob.
			dead := &collector{Registry: s.r}
			_, err := dead.note(t.Context(), deletions{Until: clk.now(), Blobs: []blobDeletion{{s.layer, data}}})
			must(t, err)
			scrub(t, s.r, ScrubOptions{Bytes: true, Repair: true})
			there := func() bool { _, err := s.d.Stat(t.Context(), data); return err == nil }
			for range 3 {
				clk.later(3 * grace)
				s.put(gcLogPrefix+"x", "a note that can't be read: all data is looked at")
				collect(t, s.r, CollectOptions{})
				if !there() {
					t.Fatal("the bytes are gone")
				}
			}
			s.again("a", s.layer)
			scrub(t, s.r, ScrubOptions{DropQuarantined: true})
			clk.later(3 * grace)
			s.put(gcLogPrefix+"x", "a note that can't be read: all data is looked at")
			collect(t, s.r, CollectOptions{})
			if there() {
				t.Error("the bytes are left")
			}
			found, report := scrub(t, s.r, ScrubOptions{Bytes: true})
			if wantFound(t, found); report.Unnamed.Count > 0 {
				t.Errorf("%+v", report)
			}
			s.pull()
		})
	}
}
