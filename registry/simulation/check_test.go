package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/registry"
)

func blobRegister(repo string, b blob) register {
	return register{blobKind, repo, b.digest.String()}
}

func manifestRegister(repo string, i *image) register {
	return register{manifestKind, repo, i.digest.String()}
}

// grace is the least that a collection takes.
var grace = registry.LeftoverAge(24 * time.Hour)

// required reports whether a repository has to serve a blob during all of that time: it was answered 201 lately, or a manifest
// that is there names it.
func (w *world) required(repo string, b blob, start, end int) bool {
	r := blobRegister(repo, b)
	if w.history.must(r, present, start, end) && w.history.lately(r, present, grace) {
		return true
	}
	if w.history.lostSince(r, present, start) {
		return false
	}
	for _, i := range w.universe.images {
		for _, other := range i.blobs {
			if other.digest == b.digest && w.manifestRequired(repo, i, start, end) {
				return true
			}
		}
	}
	return false
}

// manifestRequired reports whether a repository has to have a manifest during all of that time. Where collections remove those to which no
// tag leads, it has to have a tag, or be named by an index that has, or not be older than the grace period.
func (w *world) manifestRequired(repo string, i *image, start, end int) bool {
	r := manifestRegister(repo, i)
	if !w.history.must(r, present, start, end) {
		return false
	}
	if w.collections.Untagged == 0 && len(w.collections.Retention) == 0 || !w.history.longAgo(r, grace) {
		return true
	}
	for _, tag := range tags {
		if w.history.must(register{tagKind, repo, tag}, i.digest.String(), start, end) && !w.tagMayExpire(repo, tag) {
			return true
		}
	}
	for _, index := range w.universe.images {
		if slices.Contains(index.children, i) && w.manifestRequired(repo, index, start, end) {
			return true
		}
	}
	return false
}

// tagMayExpire reports whether a rule may have removed a tag.
func (w *world) tagMayExpire(repo, tag string) bool {
	if len(w.collections.Retention) == 0 {
		return false
	}
	r := register{tagKind, repo, tag}
	return !slices.ContainsFunc(w.history.values(r), func(value string) bool { return value != absent && w.history.lately(r, value, grace) })
}

// tagMayDangle reports whether a tag may give nothing: it is not there, or what it may point at has been deleted.
func (w *world) tagMayDangle(repo, tag string, start, end int) bool {
	if w.tagMayExpire(repo, tag) {
		return true
	}
	r := register{tagKind, repo, tag}
	for _, value := range w.history.values(r) {
		if !w.history.mayBe(r, value, start, end) {
			continue
		}
		if value == absent || w.history.mayBe(register{manifestKind, repo, value}, absent, start, end) {
			return true
		}
	}
	return false
}

// restorable reports whether a tag can surely be pointed again at what it pointed at.
func (w *world) restorable(repo, tag string, i *image) bool {
	const margin = time.Hour // how long a request takes at most
	if w.options.HistoryKeep == 0 || !w.history.past(register{tagKind, repo, tag}, i.digest.String(), w.options.HistoryKeep-margin) {
		return false
	}
	for _, part := range append([]*image{i}, i.children...) {
		for _, b := range part.blobs {
			if w.history.goneForever(blobRegister(repo, b)) {
				return false
			}
		}
	}
	return true
}

// restoreAll lets the grace period pass, collects, and then has back all that can be.
func (w *world) restoreAll() {
	if w.options.HistoryKeep == 0 {
		return
	}
	w.closeAll()
	time.Sleep(grace + 2*time.Minute)
	a := &actor{w: w, name: "restoring", direct: true, breaks: true}
	_ = a.collect(0, w.collections)
	for _, repo := range repos {
		for _, tag := range tags {
			for _, i := range w.universe.images {
				if w.restorable(repo, tag, i) {
					w.restored++
					_ = a.restoreTag(0, repo, tag, i)
					a.pull(0, repo, tag)
				}
			}
		}
	}
}

// lookAtLists checks that the catalogue has all repositories with manifests, and that referrers are found by their subject.
func (w *world) lookAtLists(a *actor, at int) {
	var listed []string
	_ = a.request(looking, at, func(ctx context.Context, r *replica) (err error) {
		listed, _, err = r.Catalog(ctx, "", len(repos)+1)
		return err
	})
	for _, repo := range repos {
		now := w.history.now()
		for _, i := range w.universe.images {
			if !w.manifestRequired(repo, i, now, now+1) {
				continue
			}
			if !slices.Contains(listed, repo) && !w.history.brokenOff(repo) {
				w.violate("I1: %s: repository %s has manifest %s, and the catalogue lacks it", a.name, repo, i.name)
			}
			if i.subject == nil {
				continue
			}
			var found []v1.Descriptor
			_ = a.request(looking, at, func(ctx context.Context, r *replica) (err error) {
				found, _, err = r.Referrers(ctx, repo, i.subject.digest, nil, "", len(w.universe.images)+1)
				return err
			})
			if !slices.ContainsFunc(found, func(d v1.Descriptor) bool { return d.Digest == i.digest }) {
				w.violate("I1: %s: manifest %s of %s is not among the referrers of its subject", a.name, i.name, repo)
			}
		}
	}
}

// lookAtAll pulls all that can be there from a new process, and reads each object of the store.
func (w *world) lookAtAll(when string) {
	a := &actor{w: w, name: when, direct: true}
	w.open()
	last := len(w.replicas) - 1
	for _, repo := range repos {
		for _, tag := range tags {
			a.pull(last, repo, tag)
		}
		for _, i := range w.universe.images {
			a.pullManifest(last, repo, i)
		}
		for _, b := range w.universe.blobs {
			a.fetch(last, repo, b)
		}
	}
	w.readStore(when)
}

// stored is what a store holds.
type stored struct {
	bodies map[string][]byte
	keys   []string
}

func (w *world) read() stored {
	ctx := context.Background()
	s := stored{bodies: map[string][]byte{}}
	d := w.store.Reopen(nil)
	for entry, err := range d.List(ctx, "", "", "") {
		if err != nil {
			panic(err) // this handle has no faults
		}
		body, _, err := d.Reader(ctx, entry.Key, 0, -1)
		if err != nil {
			panic(err)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			panic(err)
		}
		s.bodies[entry.Key] = b
		s.keys = append(s.keys, entry.Key)
	}
	return s
}

type record struct {
	Size int64  `json:"size"`
	Data string `json:"data"`
}

// readStore checks what has to be true of the objects whatever has happened.
func (w *world) readStore(when string) {
	s := w.read()
	named := map[string]string{}
	for _, key := range s.keys {
		rest, is := strings.CutPrefix(key, "blobs/")
		if !is {
			continue
		}
		algorithm, rest, _ := strings.Cut(rest, "/")
		_, encoded, _ := strings.Cut(rest, "/")
		d := digest.NewDigestFromEncoded(digest.Algorithm(algorithm), encoded)
		var r record
		if err := json.Unmarshal(s.bodies[key], &r); err != nil {
			w.violate("I3: %s: record %s: %v", when, key, err)
			continue
		}
		body, there := s.bodies[r.Data]
		switch {
		case !there:
			w.violate("I1: %s: record %s names bytes that are not there: %s", when, key, r.Data)
		case int64(len(body)) != r.Size || d.Algorithm().FromBytes(body) != d:
			w.violate("I3: %s: record %s names other bytes: %q", when, key, body)
		}
		if other, twice := named[r.Data]; twice {
			w.violate("%s: %s and %s name the same bytes", when, key, other)
		}
		named[r.Data] = key
	}
}

// collectAll lets a grace period pass and collects twice; then nothing may be left that is not needed.
func (w *world) collectAll() (leaked int) {
	w.closeAll()
	time.Sleep(grace + w.options.HistoryKeep + 2*time.Minute)
	a := &actor{w: w, name: "at the end", direct: true}
	for range 2 {
		if err := a.collect(0, w.collections); errors.Is(err, registry.ErrCollecting) {
			w.violate("I4: a collector that is not there any more keeps others from collecting")
		}
	}
	w.lookAtAll("after two collections")
	w.lookAtLists(&actor{w: w, name: "after two collections", direct: true}, 0)
	s := w.read()
	needed := s.needed()
	for _, key := range s.keys {
		if !needed[key] && !strings.HasPrefix(key, ownLeases) {
			leaked += max(1, len(s.bodies[key]))
			w.violate("I4: nothing needs %s", key)
		}
	}
	for l, err := range w.store.Reopen(nil).Leftovers(context.Background()) {
		if err == nil {
			w.violate("I4: a stream was left: %s", l.Key)
		}
	}
	return leaked
}

// needed are the keys of what is referred to, and of what a store always has.
func (s stored) needed() map[string]bool {
	needed := map[string]bool{"format": true}
	if state, there := s.bodies["gc/state"]; there { // what the collector keeps for the next time
		needed["gc/state"] = true
		for _, key := range s.keys {
			if strings.HasPrefix(key, "gc/named/") && bytes.Contains(state, []byte(key)) {
				needed[key] = true
			}
		}
	}
	for _, key := range s.keys {
		repo, rest, is := strings.Cut(strings.TrimPrefix(key, "repos/"), "/_")
		if !is || !strings.HasPrefix(key, "repos/") {
			continue
		}
		switch kind, _, _ := strings.Cut(rest, "/"); kind {
		case "manifests":
			s.needManifest(needed, repo, key)
		case "tags":
			needed[key] = true // one that points nowhere may be all that tells of a loss: it is for people to remove
			needed["catalog/"+repo+"-"] = true
		}
	}
	return needed
}

// needManifest adds a manifest, and what it names.
func (s stored) needManifest(needed map[string]bool, repo, key string) {
	needed[key] = true
	needed["catalog/"+repo+"-"] = true
	_, body, _ := strings.Cut(string(s.bodies[key]), "\n")
	var m struct {
		Config            struct{ Digest digest.Digest }
		Layers, Manifests []struct{ Digest digest.Digest }
		Subject           struct{ Digest digest.Digest }
	}
	if json.Unmarshal([]byte(body), &m) != nil {
		return
	}
	own := "sha256-" + key[strings.LastIndex(key, "/")+1:]
	for _, layer := range append(m.Layers, struct{ Digest digest.Digest }{m.Config.Digest}) {
		if layer.Digest == "" {
			continue
		}
		hex := layer.Digest.Encoded()
		needed["repos/"+repo+"/_blobs/sha256/"+hex] = true
		needed["blobs/sha256/"+hex[:2]+"/"+hex] = true
		var r record
		if json.Unmarshal(s.bodies["blobs/sha256/"+hex[:2]+"/"+hex], &r) == nil {
			needed[r.Data] = true
		}
	}
	for _, child := range m.Manifests {
		needed["repos/"+repo+"/_parents/sha256/"+child.Digest.Encoded()+"/"+own] = true
	}
	if m.Subject.Digest != "" {
		needed["repos/"+repo+"/_referrers/sha256/"+m.Subject.Digest.Encoded()+"/"+own] = true
	}
}

// plant counts something that is made to fail. Only the scheduler does.
func (w *world) plant(kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[kind]++
}

// planted reports whether anything was made to fail in this run.
func (w *world) planted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.faults) > 0
}
