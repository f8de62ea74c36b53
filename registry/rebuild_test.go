package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/drivers"
)

// rebuild runs one and returns what it did, kind and key.
func rebuild(t *testing.T, r *Registry, o RebuildOptions) (RebuildReport, []string) {
	t.Helper()
	done := []string{}
	o.Rebuilt = func(one Rebuilt) { done = append(done, string(one.Kind)+" "+one.Key) }
	report, err := r.Rebuild(t.Context(), o)
	must(t, err)
	slices.Sort(done)
	return report, done
}

// sizedImage is an image whose descriptors say how large its blobs are.
func sizedImage(t *testing.T, blobs ...[]byte) []byte {
	t.Helper()
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Layers: []v1.Descriptor{}}
	m.SchemaVersion = 2
	for i, b := range blobs {
		d := v1.Descriptor{MediaType: v1.MediaTypeImageLayer, Digest: digest.FromBytes(b), Size: int64(len(b))}
		if m.Layers = append(m.Layers, d); i == 0 {
			m.Config, m.Layers = d, []v1.Descriptor{}
		}
	}
	b, err := json.Marshal(m)
	must(t, err)
	return b
}

// pushOld pushes an image and lets so much time pass that no upload of then goes on.
func pushOld(t *testing.T, clk *clock, d drivers.Driver, repo, tag string, blobs ...[]byte) digest.Digest {
	t.Helper()
	r := clk.open(t, d)
	for _, b := range blobs {
		putBlob(t, r, repo, b)
	}
	m := pushTag(t, r, repo, tag, sizedImage(t, blobs...))
	clk.later(5 * day)
	return m
}

func lose(t *testing.T, d drivers.Driver, keys ...string) {
	t.Helper()
	for _, key := range keys {
		_, err := d.Stat(t.Context(), key)
		must(t, err)
	}
	must(t, d.Delete(t.Context(), keys...))
}

func wantDone(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("done:\n %s\nwant:\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

// Data that an upload may still name is left, unless nothing else uses the store; then no upload goes on.
func TestRebuildYoungData(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	b := randomBytes(1, 100)
	blob := putBlob(t, r, "a", b)
	pushTag(t, r, "a", "t", sizedImage(t, b))
	u, err := r.StartUpload("a", "")
	must(t, err)
	lose(t, d, recordKey(blob))
	report, done := rebuild(t, clk.open(t, d), RebuildOptions{})
	if wantDone(t, done); report.Whole() || report.Young != 1 || report.Missing != 1 || report.Incomplete != 1 || len(report.Notes) != 1 {
		t.Errorf("report %+v", report)
	}
	report, done = rebuild(t, clk.open(t, d), RebuildOptions{Offline: true})
	if wantDone(t, done, "blob "+recordKey(blob), "format "+formatKey); !report.Whole() {
		t.Errorf("report %+v", report)
	}
	r = clk.open(t, d)
	wantBlob(t, r, "a", b, blob)
	_, err = r.Append(t.Context(), "a", u.ID, u.Value, chunk(b))
	wantCode(t, err, BlobUploadUnknown)
}

// No two records name the same data, also where the same bytes have two digests that are missing.
func TestRebuildOneOfTwoDigests(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	b := randomBytes(1, 100)
	short, long := putBlob(t, r, "a", b), digest.SHA512.FromBytes(b)
	must(t, r.PutBlob(t.Context(), "a", chunk(b), long))
	pushTag(t, r, "a", "short", imageOf(t, short))
	pushTag(t, r, "a", "long", imageOf(t, long))
	clk.later(5 * day)
	lose(t, d, recordKey(short), recordKey(long))
	lose(t, d, keys(t, d, dataPrefix)[0])
	report, done := rebuild(t, clk.open(t, d), RebuildOptions{AllData: true})
	if len(done) != 1 || report.Missing != 1 || report.Incomplete != 1 || len(keys(t, d, "blobs/")) != 1 {
		t.Errorf("done %v, report %+v", done, report)
	}
	if _, done := rebuild(t, clk.open(t, d), RebuildOptions{AllData: true}); len(done) > 0 || len(keys(t, d, "blobs/")) != 1 {
		t.Errorf("again: done %v", done)
	}
}

// A manifest can have a blob's size wrong, and a blob can be in no manifest: then all data has to be read.
func TestRebuildAllData(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	wrong, loose := putBlob(t, r, "a", randomBytes(1, 100)), putBlob(t, r, "a", randomBytes(2, 200))
	pushTag(t, r, "a", "t", imageOf(t, wrong))
	clk.later(5 * day)
	lose(t, d, recordKey(wrong), recordKey(loose))
	report, done := rebuild(t, clk.open(t, d), RebuildOptions{})
	if wantDone(t, done); report.Missing != 1 || report.Hashed != 0 || len(report.Notes) != 1 {
		t.Errorf("report %+v", report)
	}
	report, done = rebuild(t, clk.open(t, d), RebuildOptions{AllData: true})
	if wantDone(t, done, "blob "+recordKey(wrong), "blob "+recordKey(loose)); !report.Whole() || report.Hashed != 300 || report.Objects != 2 {
		t.Errorf("report %+v", report)
	}
	wantBlob(t, clk.open(t, d), "a", randomBytes(2, 200), loose)
}

// A blob that a collection removed, since nobody had it any more, does not come back because its bytes are still there.
func TestRebuildNothingUnnamed(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	pushOld(t, clk, d, "a", "t", randomBytes(1, 100))
	must(t, d.Put(t.Context(), newDataKey(clk.now().Add(-5*day)), randomBytes(2, 100)))
	report, done := rebuild(t, clk.open(t, d), RebuildOptions{AllData: true})
	if wantDone(t, done); !report.Whole() || report.Hashed != 0 {
		t.Errorf("report %+v", report)
	}
}

// A push does not look whether the repository has a layer that is not distributed, so a manifest that names one earns it no link.
func TestRebuildLinksNoForeignLayer(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	secret := putBlob(t, r, "secret", randomBytes(1, 100))
	config := putBlob(t, r, "a", randomBytes(2, 100))
	m := strings.Replace(string(imageOf(t, config, secret)), v1.MediaTypeImageLayerGzip, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", 1)
	pushTag(t, r, "a", "t", []byte(m))
	lose(t, d, linkKey("a", config))
	_, done := rebuild(t, clk.open(t, d), RebuildOptions{AllData: true, Offline: true})
	wantDone(t, done, "link "+linkKey("a", config))
	_, err := clk.open(t, d).Blob(t.Context(), "a", secret)
	wantCode(t, err, BlobUnknown)
}

// Entries that no manifest asks for are removed, those that say something else are put right.
func TestRebuildEntries(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	b := randomBytes(1, 100)
	putBlob(t, r, "a", b)
	child := pushTag(t, r, "a", "child", sizedImage(t, b))
	index := pushTag(t, r, "a", "index", indexOf(t, child))
	signature := pushTag(t, r, "a", "sig", fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"digest":%q,"size":100},"layers":[],"subject":{"digest":%q,"size":1}}`,
		v1.MediaTypeImageManifest, digest.FromBytes(b), child))
	gone := digest.FromString("gone")
	right, err := readObject(t.Context(), d, referrerKey("a", child, signature))
	must(t, err)
	stale := []string{
		referrerKey("a", child, gone), parentKey("a", child, gone), // of what is not there
		referrerKey("a", index, signature), parentKey("a", gone, index), // of what does not say so
	}
	for _, key := range stale {
		must(t, d.Put(t.Context(), key, []byte("{}")))
	}
	must(t, d.Put(t.Context(), referrerKey("a", child, signature), []byte(strings.Replace(string(right.body), `"size":`, `"size":1`, 1))))
	clk.later(5 * day)
	fresh := []string{referrerKey("a", gone, gone), parentKey("a", child, digest.FromString("being pushed"))}
	for _, key := range fresh {
		must(t, d.Put(t.Context(), key, []byte("{}")))
	}
	want := []string{"referrer " + referrerKey("a", child, signature)}
	for _, key := range stale {
		want = append(want, "stale "+key)
	}
	for _, dry := range []bool{true, false} {
		_, done := rebuild(t, clk.open(t, d), RebuildOptions{DryRun: dry})
		wantDone(t, done, want...)
	}
	if o, err := readObject(t.Context(), d, referrerKey("a", child, signature)); err != nil || string(o.body) != string(right.body) {
		t.Errorf("the referrer's entry is %s, %v", o.body, err)
	}
	_, done := rebuild(t, clk.open(t, d), RebuildOptions{Offline: true})
	wantDone(t, done, "stale "+fresh[0], "stale "+fresh[1])
	if left := keys(t, d, repoCondemnedKey("a")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// What a manifest that can't be read asks for is not known: its entries stay, and it is told of.
func TestRebuildUnreadable(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	b := randomBytes(1, 100)
	putBlob(t, r, "a", b)
	child := pushTag(t, r, "a", "child", sizedImage(t, b))
	index := pushTag(t, r, "a", "index", indexOf(t, child))
	clk.later(5 * day)
	must(t, d.Put(t.Context(), manifestKey("a", index), []byte("{}\nnot it")))
	lose(t, d, catalogKey("a"))
	report, err := clk.open(t, d).Rebuild(t.Context(), RebuildOptions{})
	if !errors.Is(err, ErrRefused) || report.Failed != 1 || report.Whole() || !strings.Contains(err.Error(), manifestKey("a", index)) {
		t.Errorf("error %v, report %+v", err, report)
	}
	for _, key := range []string{parentKey("a", child, index), catalogKey("a")} {
		if _, err := d.Stat(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
}

// An image that lacks something is told of with the tags that lead to it.
func TestRebuildTellsWhatIsMissing(t *testing.T) {
	clk := &clock{}
	d := clk.store(t)
	r := openWith(t, d, Options{Now: clk.now, SparseIndexes: func(repo string) bool { return repo == "sparse" }})
	b, other := randomBytes(1, 100), randomBytes(2, 200)
	blob, another := putBlob(t, r, "a", b), putBlob(t, r, "a", other)
	broken, err := r.PushManifest(t.Context(), Push{Repo: "a", Body: sizedImage(t, b, other)})
	must(t, err)
	deep := pushTag(t, r, "a", "deep", indexOf(t, broken.Digest))
	pushTag(t, r, "a", "deeper", indexOf(t, deep))
	child := pushTag(t, r, "a", "child", sizedImage(t, other))
	index := pushTag(t, r, "a", "index", indexOf(t, child))
	pushTag(t, r, "sparse", "t", indexOf(t, child))
	clk.later(5 * day)
	lose(t, d, recordKey(blob), recordKey(another), manifestKey("a", child))
	for _, key := range keys(t, d, dataPrefix) {
		if info, err := d.Stat(t.Context(), key); err == nil && info.Size == int64(len(b)) {
			lose(t, d, key)
		}
	}
	var told []string
	o := RebuildOptions{Incomplete: func(image IncompleteImage) { told = append(told, fmt.Sprint(image)) }}
	r = openWith(t, d, Options{Now: clk.now, SparseIndexes: func(repo string) bool { return repo == "sparse" }})
	report, done := rebuild(t, r, o)
	if wantDone(t, done, "blob "+recordKey(another)); report.Missing != 1 || report.Incomplete != 2 || report.Whole() {
		t.Errorf("report %+v", report)
	}
	want := []string{fmt.Sprint(IncompleteImage{"a", index, []string{"index"}, nil, []digest.Digest{child}}), fmt.Sprint(IncompleteImage{"a", broken.Digest, []string{"deep", "deeper"}, []digest.Digest{blob}, nil})}
	slices.Sort(want)
	slices.Sort(told)
	if !slices.Equal(told, want) {
		t.Errorf("told of\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
	}
}
