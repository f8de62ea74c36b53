package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// past is before anything that an upload could still name.
const past = 5 * 24 * time.Hour

// damaged is a store that is filled, damaged and rebuilt.
type damaged struct {
	t     *testing.T
	store drivers.Driver
	ahead time.Duration // of the registry's clock, and of a memory store's
	repos []string

	manifests map[string]string // by path of the API
	blobs     map[string]string
	lists     []string // paths of the API
	sub       []string // tags that can be restored
}

func (d *damaged) now() time.Time { return time.Now().Add(d.ahead) }

func (d *damaged) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// open is a new process.
func (d *damaged) open() *registry.Registry {
	d.t.Helper()
	r, err := registry.Open(d.t.Context(), d.store, registry.Options{Now: d.now, Log: slog.New(slog.DiscardHandler), HistoryKeep: 30 * 24 * time.Hour})
	d.must(err)
	d.t.Cleanup(r.Close)
	return r
}

func (d *damaged) blob(r *registry.Registry, repo string, algorithm digest.Algorithm, body []byte) v1.Descriptor {
	d.t.Helper()
	one := algorithm.FromBytes(body)
	d.must(r.PutBlob(d.t.Context(), repo, registry.Chunk{Body: bytes.NewReader(body), Length: int64(len(body))}, one))
	d.blobs["/v2/"+repo+"/blobs/"+one.String()] = string(body)
	return v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: one, Size: int64(len(body))}
}

func (d *damaged) push(r *registry.Registry, repo string, manifest any, tags ...string) v1.Descriptor {
	d.t.Helper()
	body, err := json.Marshal(manifest)
	d.must(err)
	p, err := r.PushManifest(d.t.Context(), registry.Push{Repo: repo, Tags: tags, Body: body})
	d.must(err)
	for _, reference := range append(tags, p.Digest.String()) {
		d.manifests["/v2/"+repo+"/manifests/"+reference] = string(body)
	}
	var mediaType struct{ MediaType string }
	d.must(json.Unmarshal(body, &mediaType))
	return v1.Descriptor{MediaType: mediaType.MediaType, Digest: p.Digest, Size: int64(len(body))}
}

func image(config v1.Descriptor, subject *v1.Descriptor, layers ...v1.Descriptor) v1.Manifest {
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Config: config, Layers: layers, Subject: subject}
	m.SchemaVersion = 2
	if subject != nil {
		m.ArtifactType = "application/vnd.example.signature"
		m.Annotations = map[string]string{"by": "us <&>"}
	}
	return m
}

// fill pushes to that many repositories indexes, what refers to them, blobs of both algorithms, some of them shared, and deletes a little.
func (d *damaged) fill(repos int) {
	d.t.Helper()
	r := d.open()
	random := rand.NewChaCha8([32]byte{7})
	noise := func(n int) []byte {
		b := make([]byte, n)
		_, _ = random.Read(b)
		return b
	}
	base, empty := noise(3000), []byte("{}")
	for i := range repos {
		repo := fmt.Sprintf("team%d/app%d", i%7, i)
		if i%5 == 0 {
			repo += "/below" // beside the name that it begins with
		}
		d.repos = append(d.repos, repo)
		shared := d.blob(r, repo, digest.SHA256, base)
		config := d.blob(r, repo, digest.SHA256, empty)
		var children []v1.Descriptor
		for range 2 {
			children = append(children, d.push(r, repo, image(d.blob(r, repo, digest.SHA256, noise(200)), nil, shared, d.blob(r, repo, digest.SHA256, noise(500+i)))))
		}
		if i%3 == 0 {
			d.push(r, repo, image(config, nil, d.blob(r, repo, digest.SHA512, noise(700)), d.blob(r, repo, digest.SHA512, base)), "long")
		}
		index := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: children}
		index.SchemaVersion = 2
		top := d.push(r, repo, index, "v1", "latest")
		signature := d.push(r, repo, image(config, &top, d.blob(r, repo, digest.SHA256, noise(90))))
		d.push(r, repo, image(config, &signature, config))
		d.push(r, repo, image(config, &children[0], shared), "moved")
		d.push(r, repo, image(config, nil, shared, d.blob(r, repo, digest.SHA256, noise(60))), "moved")
		if i%4 == 0 { // deleted, and can be had back
			gone := image(config, nil, d.blob(r, repo, digest.SHA256, noise(333)))
			one := d.push(r, repo, gone, "gone")
			d.must(r.DeleteManifest(d.t.Context(), repo, one.Digest, false))
			delete(d.manifests, "/v2/"+repo+"/manifests/gone")
			delete(d.manifests, "/v2/"+repo+"/manifests/"+one.Digest.String())
			delete(d.blobs, "/v2/"+repo+"/blobs/"+gone.Layers[0].Digest.String())
			d.sub = append(d.sub, repo)
		}
		for _, one := range []v1.Descriptor{top, signature, children[0]} {
			d.lists = append(d.lists, "/v2/"+repo+"/referrers/"+one.Digest.String())
		}
		d.lists = append(d.lists, "/v2/"+repo+"/tags/list")
	}
	d.lists = append(d.lists, "/v2/_catalog?n=1000")
}

// get is one request of a client.
func (d *damaged) get(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(d.t.Context(), http.MethodGet, path, nil)
	request.Header.Set("Accept", "*/*")
	h.ServeHTTP(w, request)
	return w.Code, w.Body.String()
}

// answers are the bodies of lists.
func (d *damaged) answers() map[string]string {
	h := api.New(d.open(), api.Options{})
	all := map[string]string{}
	for _, path := range d.lists {
		code, body := d.get(h, path)
		all[path] = fmt.Sprint(code, body)
	}
	return all
}

// whole pulls all that was pushed.
func (d *damaged) whole() {
	d.t.Helper()
	h := api.New(d.open(), api.Options{})
	for _, all := range []map[string]string{d.manifests, d.blobs} {
		for path, want := range all {
			if code, body := d.get(h, path); code != http.StatusOK || body != want {
				d.t.Errorf("%s: %d, %d bytes of %d", path, code, len(body), len(want))
			}
		}
	}
}

func (d *damaged) keys(prefix string) []string {
	d.t.Helper()
	var all []string
	for entry, err := range d.store.List(context.WithoutCancel(d.t.Context()), prefix, "", "") {
		d.must(err)
		all = append(all, entry.Key)
	}
	return all
}

// lose deletes the keys that contain one of the texts.
func (d *damaged) lose(texts ...string) (n int) {
	d.t.Helper()
	var lost []string
	for _, key := range d.keys("") {
		if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains("/"+key, text) }) && !strings.Contains(key, "/_deleted/") {
			lost = append(lost, key)
		}
	}
	d.must(d.store.Delete(d.t.Context(), lost...))
	return len(lost)
}

// rebuild runs one and returns what it did.
func (d *damaged) rebuild(o registry.RebuildOptions) (registry.RebuildReport, []registry.Rebuilt) {
	d.t.Helper()
	var done []registry.Rebuilt
	o.Rebuilt = func(one registry.Rebuilt) { done = append(done, one) }
	o.Incomplete = func(image registry.IncompleteImage) { d.t.Logf("incomplete: %+v", image) }
	report, err := d.open().Rebuild(d.t.Context(), o)
	d.must(err)
	return report, done
}

// records fails if two records name the same data, or data is not what its record says.
func (d *damaged) records() {
	d.t.Helper()
	names := map[string]string{}
	for _, key := range d.keys("blobs/") {
		var record struct {
			Size int64
			Data string
		}
		d.must(json.Unmarshal(d.read(key), &record))
		if other := names[record.Data]; other != "" {
			d.t.Errorf("%s is named by %s and by %s", record.Data, other, key)
		}
		names[record.Data] = key
		body := d.read(record.Data)
		parts := strings.Split(key, "/")
		if got := digest.Algorithm(parts[1]).FromBytes(body).Encoded(); got != parts[3] || int64(len(body)) != record.Size {
			d.t.Errorf("%s: its data is %s, %d bytes", key, got, len(body))
		}
	}
}

func (d *damaged) read(key string) []byte {
	d.t.Helper()
	body, _, err := d.store.Reader(d.t.Context(), key, 0, -1)
	d.must(err)
	defer body.Close()
	b, err := io.ReadAll(body)
	d.must(err)
	return b
}

// losses are what a script can remove.
var losses = map[string][]string{
	"catalogue": {"/catalog/"},
	"referrers": {"/_referrers/"},
	"parents":   {"/_parents/"},
	"records":   {"/blobs/"},
	"links":     {"/_blobs/"},
	"format":    {"/format"},
	"gc":        {"/gc/"},
	"all":       {"/catalog/", "/_referrers/", "/_parents/", "/blobs/", "/_blobs/", "/format", "/gc/"},
}

// testLoss fills a store, loses something, rebuilds, and looks whether all is as before, also after a collection.
func (d *damaged) testLoss(repos int, loss string) {
	t := d.t
	d.manifests, d.blobs = map[string]string{}, map[string]string{}
	d.ahead -= past
	d.fill(repos)
	d.ahead += past
	_, err := d.open().Collect(t.Context(), registry.CollectOptions{}) // what a collection remembers can be wrong afterwards
	d.must(err)
	before, lists := d.keys(""), d.answers()
	if n := d.lose(losses[loss]...); n == 0 {
		t.Fatal("nothing was lost")
	}
	dry, would := d.rebuild(registry.RebuildOptions{DryRun: true})
	report, done := d.rebuild(registry.RebuildOptions{})
	if !report.Whole() || report.Missing > 0 {
		t.Errorf("missing: %+v", report)
	}
	if loss != "gc" && len(done) == 0 && loss != "format" {
		t.Error("nothing was done")
	}
	if loss != "format" && loss != "all" && !maps.Equal(dry.Done, report.Done) || len(would) < len(done) {
		t.Errorf("a dry run would do %v, done was %v", dry.Done, report.Done)
	}
	d.records()
	d.whole()
	if now := d.answers(); !maps.Equal(now, lists) {
		for path, want := range lists {
			if now[path] != want {
				t.Errorf("%s:\n got %s\nwant %s", path, now[path], want)
			}
		}
	}
	after := d.keys("")
	for _, key := range before {
		if !slices.Contains(after, key) && !strings.HasPrefix(key, "gc/") && !d.ofDeleted(key) {
			t.Errorf("%s is not there", key)
		}
	}
	for _, key := range after {
		if !slices.Contains(before, key) && !strings.Contains(key, "/_deleted/all/blobs/") {
			t.Errorf("%s was not there", key)
		}
	}
	if again, done := d.rebuild(registry.RebuildOptions{}); len(done) > 0 || again.Hashed > 0 {
		t.Errorf("a second rebuild: %v, %d bytes hashed", done, again.Hashed)
	}
	d.ahead += past
	_, err = d.open().Collect(t.Context(), registry.CollectOptions{Untagged: time.Hour})
	d.must(err)
	d.whole()
	r := d.open()
	for _, repo := range d.sub {
		if _, err := r.RestoreTag(t.Context(), repo, "gone", "", ""); err != nil {
			t.Errorf("%s: what was deleted is not kept: %v", repo, err)
		}
	}
}

// ofDeleted reports whether key is a link that only a deleted manifest needs, which is put aside when it is put back.
func (d *damaged) ofDeleted(key string) bool {
	repo, rest, link := strings.Cut(strings.TrimPrefix(key, "repos/"), "/_blobs/")
	_, served := d.blobs["/v2/"+repo+"/blobs/"+strings.Replace(rest, "/", ":", 1)]
	return link && !served
}

func TestRebuildOnMemory(t *testing.T) {
	for loss := range losses {
		t.Run(loss, func(t *testing.T) {
			d := &damaged{t: t}
			d.store = memory.New(memory.Options{Immutable: []string{"data/"}, OnViolation: func(err error) { t.Error(err) }, Now: d.now})
			repos := 12
			if loss == "all" {
				repos = 30
			}
			d.testLoss(repos, loss)
		})
	}
}

func TestRebuildOnFiles(t *testing.T) {
	folder, err := fs.Open(t.Context(), fs.Config{Root: t.TempDir(), Durability: fs.Fast})
	if err != nil {
		t.Fatal(err)
	}
	(&damaged{t: t, store: folder}).testLoss(10, "all")
}
