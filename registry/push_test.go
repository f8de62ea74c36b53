package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

func TestPushAndPullByTag(t *testing.T) {
	store := newStore(t)
	r, other := open(t, store), open(t, store.Reopen(nil))
	body := imageOf(t, putBlob(t, r, "a/b", []byte("{}")), putBlob(t, r, "a/b", []byte("layer")))
	d := pushTag(t, r, "a/b", "v1", body)
	for _, replica := range []*Registry{r, other} {
		m, err := replica.ManifestByTag(t.Context(), "a/b", "v1")
		must(t, err)
		if m.Digest != d || string(m.Body) != string(body) || m.MediaType != "application/vnd.oci.image.manifest.v1+json" {
			t.Errorf("got %s %s, want %s and the body as pushed", m.Digest, m.MediaType, d)
		}
	}
	repos, _, err := other.Catalog(t.Context(), "", 10)
	must(t, err)
	if !slices.Equal(repos, []string{"a/b"}) {
		t.Errorf("catalogue %v", repos)
	}
}

func TestPushNamesAllThatIsMissing(t *testing.T) {
	r := open(t, newStore(t))
	config := putBlob(t, r, "r", []byte("{}"))
	elsewhere := putBlob(t, r, "other", []byte("in another repository"))
	absent := digest.FromString("absent")
	_, err := r.PushManifest(t.Context(), Push{Repo: "r", Tags: []string{"v1"}, Body: imageOf(t, config, absent, elsewhere)})
	var missing Errors
	if !errors.As(err, &missing) || len(missing) != 2 {
		t.Fatalf("error %v, want two missing blobs", err)
	}
	for _, e := range missing {
		if d := e.Detail.(map[string]any)["digest"]; e.Code != ManifestBlobUnknown || d != absent && d != elsewhere {
			t.Errorf("%s %v", e.Code, d)
		}
	}
	if _, err := r.Resolve(t.Context(), "r", "v1"); !HasCode(err, ManifestUnknown) {
		t.Errorf("the tag is there: %v", err)
	}
	if _, err := r.PushManifest(t.Context(), Push{Repo: "r", Body: indexOf(t, absent)}); !HasCode(err, ManifestBlobUnknown) {
		t.Errorf("an index of an absent manifest: %v", err)
	}
	sparse := openWith(t, newStore(t), Options{SparseIndexes: func(repo string) bool { return repo == "mirror" }})
	_, err = sparse.PushManifest(t.Context(), Push{Repo: "mirror", Body: indexOf(t, absent)})
	must(t, err)
}

// A blob that was deleted on another replica is missing here too, although this one knew it.
func TestPushAfterDeleteElsewhere(t *testing.T) {
	store := newStore(t)
	now := time.Now()
	r := openWith(t, store, Options{Now: func() time.Time { return now }})
	other := open(t, store.Reopen(nil))
	config, layer := putBlob(t, r, "r", []byte("{}")), putBlob(t, r, "r", []byte("layer"))
	_, err := r.Blob(t.Context(), "r", layer)
	must(t, err)
	must(t, other.DeleteBlob(t.Context(), "r", layer))
	_, err = r.Blob(t.Context(), "r", layer)
	wantCode(t, err, BlobUnknown)
	_, err = r.PushManifest(t.Context(), Push{Repo: "r", Tags: []string{"v1"}, Body: imageOf(t, config, layer)})
	wantCode(t, err, ManifestBlobUnknown)
}

func TestDeletes(t *testing.T) {
	store := newStore(t)
	r, other := open(t, store), open(t, store.Reopen(nil))
	body := imageOf(t, putBlob(t, r, "r", []byte("{}")))
	d := pushTag(t, r, "r", "a", body)
	pushTag(t, r, "r", "b", body)
	must(t, other.DeleteTag(t.Context(), "r", "a"))
	_, err := r.ManifestByTag(t.Context(), "r", "a")
	wantCode(t, err, ManifestUnknown)
	_, err = r.ManifestByTag(t.Context(), "r", "b")
	must(t, err)

	index := pushTag(t, r, "r", "i", indexOf(t, d))
	err = other.DeleteManifest(t.Context(), "r", d, false)
	wantCode(t, err, Unsupported)
	must(t, other.DeleteManifest(t.Context(), "r", index, false))
	must(t, other.DeleteManifest(t.Context(), "r", d, false))
	for _, gone := range []digest.Digest{d, index} {
		_, err = r.Manifest(t.Context(), "r", gone)
		wantCode(t, err, ManifestUnknown)
	}
	tags, _, err := r.Tags(t.Context(), "r", "", 10)
	must(t, err)
	if len(tags) != 0 {
		t.Errorf("tags %v stay", tags)
	}
	for _, prefix := range []string{repoPrefix("r") + "parents/", repoPrefix("r") + "referrers/"} {
		if left := keys(t, store, prefix); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestConditionalPush(t *testing.T) {
	r := open(t, newStore(t))
	config := putBlob(t, r, "r", []byte("{}"))
	push := func(p Push, layers ...digest.Digest) (digest.Digest, error) {
		p.Repo, p.Tags, p.Body = "r", []string{"v"}, imageOf(t, config, layers...)
		pushed, err := r.PushManifest(t.Context(), p)
		return pushed.Digest, err
	}
	_, err := push(Push{IfMatch: []string{"*"}})
	wantCode(t, err, PreconditionFailed)
	first, err := push(Push{IfNoneMatch: []string{"*"}})
	must(t, err)
	_, err = push(Push{IfNoneMatch: []string{"*"}})
	wantCode(t, err, PreconditionFailed)
	layer := putBlob(t, r, "r", []byte("layer"))
	_, err = push(Push{IfMatch: []string{string(layer)}}, layer)
	wantCode(t, err, PreconditionFailed)
	second, err := push(Push{IfMatch: []string{string(first)}}, layer)
	must(t, err)
	if at, err := r.Resolve(t.Context(), "r", "v"); err != nil || at != second {
		t.Errorf("the tag is at %s (%v), want %s", at, err, second)
	}
}

// withExtras is a driver that can do what it is told.
type withExtras struct {
	drivers.Driver
	extras drivers.Extras
}

func (w withExtras) Extras() drivers.Extras { return w.extras }

// On a store that can't compare, conditions of tags are refused; all else works.
func TestConditionsThatTheStoreCannotHold(t *testing.T) {
	store := newStore(t)
	for name, c := range map[string]struct {
		extras drivers.Extras
		push   Push
		ok     bool
	}{
		"nothing, If-Match":               {drivers.Extras{}, Push{IfMatch: []string{"*"}}, false},
		"nothing, If-None-Match":          {drivers.Extras{}, Push{IfNoneMatch: []string{"*"}}, false},
		"nothing, no condition":           {drivers.Extras{}, Push{}, true},
		"if absent, If-Match":             {drivers.Extras{Absent: store}, Push{IfMatch: []string{"*"}}, false},
		"if absent, If-None-Match":        {drivers.Extras{Absent: store}, Push{IfNoneMatch: []string{"*"}}, true},
		"if absent, If-None-Match digest": {drivers.Extras{Absent: store}, Push{IfNoneMatch: []string{string(digest.FromString("x"))}}, false},
		"both, If-None-Match digest":      {drivers.Extras{Absent: store, Match: store}, Push{IfNoneMatch: []string{string(digest.FromString("x"))}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, withExtras{store, c.extras})
			p := c.push
			p.Repo, p.Tags, p.Body = "r", []string{nonce()}, imageOf(t, putBlob(t, r, "r", []byte("{}")))
			_, err := r.PushManifest(t.Context(), p)
			if c.ok {
				must(t, err)
			} else {
				wantCode(t, err, ConditionUnsupported)
			}
		})
	}
}

func TestConditionalPushRaced(t *testing.T) {
	store := newStore(t)
	r := open(t, store)
	config := putBlob(t, r, "r", []byte("{}"))
	first := pushTag(t, r, "r", "v", imageOf(t, config))
	var mu sync.Mutex
	var won int
	var wg sync.WaitGroup
	for i := range 16 {
		layer := putBlob(t, r, "r", fmt.Append(nil, i))
		wg.Go(func() {
			_, err := open(t, store.Reopen(nil)).PushManifest(t.Context(), Push{Repo: "r", Tags: []string{"v"}, Body: imageOf(t, config, layer), IfMatch: []string{string(first)}})
			if err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			} else if !HasCode(err, PreconditionFailed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d pushes moved the tag, want 1", won)
	}
}

func TestReferrers(t *testing.T) {
	store := newStore(t)
	r := open(t, store)
	config := putBlob(t, r, "r", []byte("{}"))
	subject := digest.FromString("not pushed yet")
	for i := range 3 {
		body := fmt.Appendf(nil, `{"schemaVersion":2,"artifactType":"application/x.%d","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[],"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":3},"annotations":{"k":"v%d"}}`, i%2, config, subject, i)
		p, err := r.PushManifest(t.Context(), Push{Repo: "r", Body: body, ContentType: "application/vnd.oci.image.manifest.v1+json"})
		must(t, err)
		if p.Subject != subject {
			t.Errorf("subject %q", p.Subject)
		}
	}
	list, next, err := r.Referrers(t.Context(), "r", subject, nil, "", 2)
	must(t, err)
	rest, end, err := r.Referrers(t.Context(), "r", subject, nil, next, 2)
	must(t, err)
	if len(list) != 2 || len(rest) != 1 || next == "" || end != "" {
		t.Fatalf("pages of %d and %d, next %q and %q", len(list), len(rest), next, end)
	}
	kind := "application/x.0"
	list, _, err = r.Referrers(t.Context(), "r", subject, &kind, "", 10)
	must(t, err)
	if len(list) != 2 || list[0].Annotations["k"] == "" {
		t.Errorf("%d of type %s: %v", len(list), kind, list)
	}
	must(t, r.DeleteManifest(t.Context(), "r", list[0].Digest, false))
	list, _, err = r.Referrers(t.Context(), "r", subject, &kind, "", 10)
	must(t, err)
	if len(list) != 1 {
		t.Errorf("%d referrers after one was deleted", len(list))
	}
}

// The names come in the order of their bytes, whatever they have after a common beginning.
func TestCatalogOrder(t *testing.T) {
	r := open(t, newStore(t))
	names := []string{"a", "a--b", "a-b", "a.b", "a/b", "a/b/c", "a0", "a_b", "a__b", "aa", "b"}
	slices.Sort(names)
	for _, name := range []string{"b", "aa", "a_b", "a/b/c", "a", "a--b", "a0", "a/b", "a-b", "a__b", "a.b"} {
		pushTag(t, r, name, "v", imageOf(t, putBlob(t, r, name, []byte("{}"))))
	}
	var got []string
	for last, more := "", true; more; {
		var page []string
		var err error
		page, more, err = r.Catalog(t.Context(), last, 2)
		must(t, err)
		got = append(got, page...)
		last = got[len(got)-1]
	}
	if !slices.Equal(got, names) {
		t.Errorf("got  %v\nwant %v", got, names)
	}
}

func TestDeleteRepository(t *testing.T) {
	store := newStore(t)
	r := open(t, store)
	for _, repo := range []string{"a", "a/b", "ab"} {
		pushTag(t, r, repo, "v", imageOf(t, putBlob(t, r, repo, []byte("{}"))))
	}
	must(t, r.DeleteRepository(t.Context(), "a"))
	wantCode(t, r.DeleteRepository(t.Context(), "a"), NameUnknown)
	if left := keys(t, store, "repos/a/_"); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	for _, repo := range []string{"a/b", "ab"} {
		_, err := r.ManifestByTag(t.Context(), repo, "v")
		must(t, err)
	}
	// The process that deleted it does not trust what it remembers of the links.
	_, err := r.PushManifest(t.Context(), Push{Repo: "a", Tags: []string{"v"}, Body: imageOf(t, digest.FromString("{}"))})
	wantCode(t, err, ManifestBlobUnknown)
}

// What a collector has announced is waited out, not more.
func TestWaitsForAnnouncements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newStore(t)
		r, other := open(t, store), open(t, store.Reopen(nil))
		layer := putBlob(t, r, "r", []byte("layer"))
		announce := func(key string, until time.Duration) {
			body, err := json.Marshal(announcement{By: "test", Until: time.Now().Add(until)})
			must(t, err)
			must(t, store.Put(t.Context(), key, body))
		}
		announce(condemnedKey(layer), time.Minute)
		start := time.Now()
		mounted := make(chan error)
		go func() {
			_, err := other.Mount(t.Context(), "q", "r", layer)
			mounted <- err
		}()
		time.Sleep(10 * time.Second)
		must(t, store.Delete(t.Context(), condemnedKey(layer)))
		must(t, <-mounted)
		if waited := time.Since(start); waited < 10*time.Second || waited > 12*time.Second {
			t.Errorf("the mount waited %s for an announcement that stood for 10 s", waited)
		}
		announce(repoCondemnedKey("r"), 20*time.Second) // its maker has died
		start = time.Now()
		must(t, other.link(t.Context(), "r", layer))
		if waited := time.Since(start); waited < 20*time.Second || waited > 20*time.Second+clockLeeway+2*time.Second {
			t.Errorf("LINK waited %s for an announcement of 20 s", waited)
		}
	})
}

// An upload whose blob is collected at the worst moment puts its own record.
func TestUploadWhileBlobIsCollected(t *testing.T) {
	base := newStore(t)
	first := open(t, base)
	b := []byte("layer")
	d := putBlob(t, first, "old", b)
	var once sync.Once
	racing := base.Reopen(func(ctx context.Context, op, key string) memory.Outcome {
		if op == "reader" && key == condemnedKey(d) {
			once.Do(func() { must(t, base.Delete(ctx, recordKey(d))) })
		}
		return memory.Outcome{}
	})
	r := open(t, racing)
	must(t, r.PutBlob(t.Context(), "new", chunk(b), d))
	wantBlob(t, open(t, base.Reopen(nil)), "new", b, d)
}

// A DELETE of the manifest in the midst of its push: either it is there with its tag, or neither is.
func TestPushWhileManifestIsDeleted(t *testing.T) {
	for _, at := range []string{"put tag", "stat"} {
		base := newStore(t)
		deleter := open(t, base.Reopen(nil))
		body := imageOf(t, putBlob(t, deleter, "r", []byte("{}")))
		d := digest.FromBytes(body)
		var once sync.Once
		racing := base.Reopen(func(ctx context.Context, op, key string) memory.Outcome {
			if at == "put tag" && op == "put" && key == tagKey("r", "v") || at == "stat" && op == "stat" && key == manifestKey("r", d) {
				once.Do(func() { must(t, deleter.DeleteManifest(ctx, "r", d, false)) })
			}
			return memory.Outcome{}
		})
		r := open(t, racing)
		pushTag(t, r, "r", "v", body)
		m, err := open(t, base.Reopen(nil)).ManifestByTag(t.Context(), "r", "v")
		must(t, err)
		if m.Digest != d {
			t.Errorf("%s: tag at %s", at, m.Digest)
		}
	}
}

// Each request to the store of a whole push fails once, without effect or with it; then the client tries again, and all is well.
func TestPushSurvivesEveryFault(t *testing.T) {
	layer := randomBytes(1, smallUpload+10)
	push := func(t *testing.T, r *Registry) error {
		ctx := t.Context()
		config := []byte("{}")
		for _, b := range [][]byte{config, layer} {
			u, err := r.StartUpload("r", "")
			if err != nil {
				return err
			}
			if u, err = r.Append(ctx, "r", u.ID, u.Value, chunk(b)); err != nil {
				return err
			}
			if _, err = r.Finish(ctx, "r", u.ID, u.Value, chunk(nil), digest.FromBytes(b)); err != nil {
				return err
			}
		}
		_, err := r.PushManifest(ctx, Push{Repo: "r", Tags: []string{"v"}, Body: imageOf(t, digest.FromBytes(config), digest.FromBytes(layer))})
		return err
	}
	calls := 0
	for faultAt, tried := 1, true; tried; faultAt++ {
		for _, stored := range []bool{false, true} {
			var mu sync.Mutex
			calls, tried = 0, false
			pushed := false
			base := newStore(t)
			open(t, base)
			faulty := base.Reopen(func(_ context.Context, op, key string) memory.Outcome {
				mu.Lock()
				defer mu.Unlock()
				if calls++; calls == faultAt && !pushed {
					tried = true
					return memory.Outcome{Err: errors.New("planted"), Stored: stored}
				}
				return memory.Outcome{}
			})
			r, err := Open(t.Context(), faulty, Options{})
			if err == nil {
				if err = push(t, r); err != nil {
					err = push(t, r)
				}
			} else {
				r, err = Open(t.Context(), faulty, Options{})
				must(t, err)
				err = push(t, r)
			}
			mu.Lock()
			pushed = true
			mu.Unlock()
			if err != nil {
				t.Fatalf("fault at call %d, stored %v: the second try failed: %v", faultAt, stored, err)
			}
			for _, reader := range []*Registry{r, open(t, base.Reopen(nil))} {
				if _, err := reader.ManifestByTag(t.Context(), "r", "v"); err != nil {
					t.Fatalf("fault at call %d, stored %v: %v", faultAt, stored, err)
				}
				wantBlob(t, reader, "r", layer, digest.FromBytes(layer))
			}
		}
	}
	if calls < 15 {
		t.Errorf("only %d calls were tried", calls)
	}
}
