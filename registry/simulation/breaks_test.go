package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/longshore-registry/longshore/drivers"
)

func dataBeforeRecord(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	var late []string
	b.onDelete = func(ctx context.Context, keys []string) ([]string, error) {
		if !isCollector(ctx) {
			return keys, nil
		}
		mu.Lock()
		defer mu.Unlock()
		if isRecord(keys[0]) {
			late = append(late, keys...)
			return nil, nil
		}
		if isData(keys[0]) {
			keys = append(slices.Clone(keys), late...)
			late = nil
		}
		return keys, nil
	}
	return b
}

// listOnce gives a collector the first listing of a prefix again and again.
func listOnce(prefix string) func(drivers.Driver) drivers.Driver {
	return remembering(func(p string) bool { return p == prefix })
}

func listOnceWithin(part string) func(drivers.Driver) drivers.Driver {
	return remembering(func(p string) bool { return has(p, part) })
}

func remembering(which func(prefix string) bool) func(drivers.Driver) drivers.Driver {
	return func(d drivers.Driver) drivers.Driver {
		b := breaking(d)
		var mu sync.Mutex
		known := map[string][]drivers.Entry{}
		b.listed = func(ctx context.Context, prefix string, all []drivers.Entry) {
			mu.Lock()
			defer mu.Unlock()
			if isCollector(ctx) && which(prefix) {
				known[prefix] = all
			}
		}
		b.onList = func(ctx context.Context, prefix string) ([]drivers.Entry, bool) {
			mu.Lock()
			defer mu.Unlock()
			all, ok := known[prefix]
			return all, ok && isCollector(ctx)
		}
		return b
	}
}

func recordBeforeData(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	late := map[string][]byte{}
	b.onPut = func(ctx context.Context, _, key string, body []byte) (error, bool) {
		mu.Lock()
		defer mu.Unlock()
		if isData(key) && isClient(ctx) {
			late[key] = body
			return nil, true
		}
		return nil, false
	}
	b.wasPut = func(ctx context.Context, _, key string, body []byte, _ error) {
		var r record
		if !isRecord(key) || json.Unmarshal(body, &r) != nil {
			return
		}
		mu.Lock()
		data, ok := late[r.Data]
		mu.Unlock()
		if ok {
			_ = d.Put(ctx, r.Data, data)
		}
	}
	return b
}

// manifestLate puts a manifest right before its tag.
func manifestLate(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	late := map[string][]byte{} // by repository and digest
	repoOf := func(key string) string { r, _, _ := strings.Cut(key, "/_"); return r }
	b.onPut = func(ctx context.Context, op, key string, body []byte) (error, bool) {
		if !isClient(ctx) {
			return nil, false
		}
		if isManifest(key) && op == "putifabsent" {
			mu.Lock()
			defer mu.Unlock()
			late[key] = body
			return nil, true
		}
		if isTag(key) {
			var t struct{ Digest string }
			if json.Unmarshal(body, &t) != nil {
				return nil, false
			}
			manifest := repoOf(key) + "/_manifests/" + strings.Replace(t.Digest, ":", "/", 1)
			mu.Lock()
			held, ok := late[manifest]
			delete(late, manifest)
			mu.Unlock()
			if ok {
				return d.Put(ctx, manifest, held), false
			}
		}
		return nil, false
	}
	return b
}

// tagEarly writes the tag of a push as soon as the manifest is there.
func tagEarly(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	b.wasPut = func(ctx context.Context, _, key string, body []byte, err error) {
		a, _ := ctx.Value(actorKey{}).(*actor)
		if !isManifest(key) || !isClient(ctx) || err != nil || a.tag == "" {
			return
		}
		repo, rest, _ := strings.Cut(key, "/_manifests/")
		line, _, _ := strings.Cut(string(body), "\n")
		var head struct{ ID, MediaType string }
		if json.Unmarshal([]byte(line), &head) != nil {
			return
		}
		record := fmt.Sprintf(`{"digest":%q,"mediaType":%q,"size":1,"pushed":"2000-01-01T00:00:00Z","manifest":%q}`,
			strings.Replace(rest, "/", ":", 1), head.MediaType, head.ID)
		_ = d.Put(ctx, repo+"/_tags/"+a.tag, []byte(record))
	}
	return b
}

func recordBeforeAnnouncement(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	known := map[string][]byte{}
	b.wasPut = func(ctx context.Context, op, key string, _ []byte, _ error) {
		if !isLink(key) || !isClient(ctx) {
			return
		}
		hex := key[strings.LastIndex(key, "/")+1:]
		recordKey := "blobs/sha256/" + hex[:2] + "/" + hex
		r, _, err := d.Reader(ctx, recordKey, 0, -1)
		if err != nil {
			return
		}
		body, err := io.ReadAll(r)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			known[recordKey] = body
		}
	}
	b.onRead = func(ctx context.Context, key string) ([]byte, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		body, ok := known[key]
		if ok && isClient(ctx) {
			delete(known, key)
			return body, nil, true
		}
		return nil, nil, false
	}
	return b
}

// linkTakenBack deletes a link whose record turns out to be gone.
func linkTakenBack(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	links := map[string]string{} // last link put, by digest
	b.wasPut = func(ctx context.Context, _, key string, _ []byte, err error) {
		if isLink(key) && isClient(ctx) {
			mu.Lock()
			defer mu.Unlock()
			links[key[strings.LastIndex(key, "/")+1:]] = key
		}
	}
	b.wasRead = func(ctx context.Context, key string, _ []byte, err error) {
		if !isRecord(key) || !isClient(ctx) || !errors.Is(err, drivers.ErrNotFound) {
			return
		}
		mu.Lock()
		link, ok := links[key[strings.LastIndex(key, "/")+1:]]
		mu.Unlock()
		if ok {
			_ = d.Delete(ctx, link)
		}
	}
	return b
}

func deleteLooksOnce(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	gone := map[string]bool{} // repositories of which a manifest was deleted just now
	b.onDelete = func(ctx context.Context, keys []string) ([]string, error) {
		if isManifest(keys[0]) && isClient(ctx) {
			repo, _, _ := strings.Cut(keys[0], "/_")
			mu.Lock()
			defer mu.Unlock()
			gone[repo] = true
		}
		return keys, nil
	}
	b.onList = func(ctx context.Context, prefix string) ([]drivers.Entry, bool) {
		if !strings.HasSuffix(prefix, "/_tags/") || !isClient(ctx) {
			return nil, false
		}
		repo, _, _ := strings.Cut(prefix, "/_")
		mu.Lock()
		defer mu.Unlock()
		was := gone[repo]
		delete(gone, repo)
		return nil, was
	}
	return b
}

func noLastLook(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	var mu sync.Mutex
	put := map[string]bool{}
	b.wasPut = func(ctx context.Context, _, key string, _ []byte, err error) {
		mu.Lock()
		defer mu.Unlock()
		put[key] = true
	}
	b.onStat = func(ctx context.Context, key string) (drivers.Info, bool) {
		mu.Lock()
		defer mu.Unlock()
		return drivers.Info{Size: 1, ETag: "made up"}, put[key] && isManifest(key) && isClient(ctx)
	}
	return b
}

func leaveData(d drivers.Driver) drivers.Driver {
	b := breaking(d)
	b.onDelete = func(_ context.Context, keys []string) ([]string, error) {
		return slices.DeleteFunc(slices.Clone(keys), isData), nil
	}
	return b
}

// youngIsOld lets a collector see what is young as if it were old.
func youngIsOld(prefix string) func(drivers.Driver) drivers.Driver {
	return func(d drivers.Driver) drivers.Driver { return aging{breaking(d), prefix} }
}

type aging struct {
	*broken
	prefix string
}

func (a aging) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	return func(yield func(drivers.Entry, error) bool) {
		for e, err := range a.broken.List(ctx, prefix, after, delimiter) {
			if isCollector(ctx) && strings.HasPrefix(e.Key, a.prefix) {
				e.ModTime = e.ModTime.Add(-2 * grace)
			}
			if !yield(e, err) {
				return
			}
		}
	}
}
