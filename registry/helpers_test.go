package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// newStore is a store that fails the test when bytes of a blob change.
func newStore(t *testing.T) *memory.Driver {
	return memory.New(memory.Options{Immutable: []string{"data/"}, OnViolation: func(err error) { t.Error(err) }})
}

// open is another replica on the store.
func open(t *testing.T, d drivers.Driver) *Registry {
	t.Helper()
	return openWith(t, d, Options{})
}

func openWith(t *testing.T, d drivers.Driver, o Options) *Registry {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	r, err := Open(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func randomBytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

func chunk(b []byte) Chunk { return Chunk{Body: bytes.NewReader(b), Length: int64(len(b))} }

func rangedChunk(b []byte, start int) Chunk {
	c := chunk(b)
	c.Ranged, c.Start, c.End = true, int64(start), int64(start+len(b)-1)
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code Code) {
	t.Helper()
	if !HasCode(err, code) {
		t.Fatalf("error %v, want one with code %s", err, code)
	}
}

func putBlob(t *testing.T, r *Registry, repo string, b []byte) digest.Digest {
	t.Helper()
	d := digest.FromBytes(b)
	must(t, r.PutBlob(t.Context(), repo, chunk(b), d))
	return d
}

func wantBlob(t *testing.T, r *Registry, repo string, b []byte, d digest.Digest) {
	t.Helper()
	blob, err := r.Blob(t.Context(), repo, d)
	must(t, err)
	body, err := r.OpenBlob(t.Context(), blob, 0, -1)
	must(t, err)
	defer body.Close()
	got, err := io.ReadAll(body)
	must(t, err)
	if !bytes.Equal(got, b) || blob.Size != int64(len(b)) {
		t.Fatalf("blob %s: %d bytes (size %d) that are not the %d pushed", d, len(got), blob.Size, len(b))
	}
}

func imageOf(t *testing.T, config digest.Digest, layers ...digest.Digest) []byte {
	t.Helper()
	m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: config, Size: 1}}
	m.SchemaVersion = 2
	m.Layers = []v1.Descriptor{}
	for _, l := range layers {
		m.Layers = append(m.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: l, Size: 1})
	}
	b, err := json.Marshal(m)
	must(t, err)
	return b
}

func indexOf(t *testing.T, children ...digest.Digest) []byte {
	t.Helper()
	m := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{}}
	m.SchemaVersion = 2
	for _, c := range children {
		m.Manifests = append(m.Manifests, v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: c, Size: 1})
	}
	b, err := json.Marshal(m)
	must(t, err)
	return b
}

func pushTag(t *testing.T, r *Registry, repo, tag string, manifest []byte) digest.Digest {
	t.Helper()
	p, err := r.PushManifest(t.Context(), Push{Repo: repo, Tags: []string{tag}, Body: manifest})
	must(t, err)
	return p.Digest
}

// failing is a body that breaks off with err after b.
type failing struct {
	io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

func keys(t *testing.T, d drivers.Driver, prefix string) []string {
	t.Helper()
	var all []string
	for e, err := range d.List(context.WithoutCancel(t.Context()), prefix, "", "") {
		must(t, err)
		all = append(all, e.Key)
	}
	return all
}
