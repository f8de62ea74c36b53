package parts

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
)

// recorded is a Store that keeps what it is sent.
type recorded struct {
	mu      sync.Mutex
	uploads map[string]map[int][]byte
	objects map[string][]byte
	parts   []int // sizes of the last object's
}

var errGone = errors.New("no such upload")

func etagOfBytes(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

func (r *recorded) PutData(_ context.Context, full string, body []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.objects[full], r.parts = bytes.Clone(body), []int{len(body)}
	return nil
}

func (r *recorded) Begin(context.Context, string, Sum) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	upload := fmt.Sprint(len(r.uploads) + 1)
	r.uploads[upload] = map[int][]byte{}
	return upload, nil
}

func (r *recorded) SendPart(_ context.Context, _, upload string, number int, body []byte, _ Sums) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uploads[upload][number] = bytes.Clone(body)
	return etagOfBytes(body), nil
}

func (r *recorded) FirstPart(_ context.Context, _, upload string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if mark, ok := r.uploads[upload][MarkNumber]; ok {
		return etagOfBytes(mark), nil
	}
	return "", nil
}

func (r *recorded) Complete(_ context.Context, full, upload string, _ Sum, list []Part) (Made, int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var whole []byte
	r.parts = nil
	for _, p := range list {
		whole = append(whole, r.uploads[upload][p.Number]...)
		r.parts = append(r.parts, len(r.uploads[upload][p.Number]))
	}
	r.objects[full] = whole
	return Made{}, 1, nil
}

func (r *recorded) Abort(context.Context, string, string) error          { return nil }
func (r *recorded) ETag(context.Context, string) (string, error)         { return "", errGone }
func (r *recorded) NoUpload(err error) bool                              { return errors.Is(err, errGone) }
func (r *recorded) Fail(_ context.Context, _, _ string, err error) error { return err }

// TestPartsOfManySessions writes a stream in pieces of all sizes, each in a session of its own as PATCHes are: no byte is lost,
// no part but the last is too small for S3, and for R2 all but the last are equal.
func TestPartsOfManySessions(t *testing.T) {
	pieces := []int{1, 3 << 20, 0, MinPart - 1, MinPart, MinPart + 1, 100, 20<<20 + 7, 2, 7 << 20, 5}
	for name, s := range map[string]*Streams{
		"S3":                   {PartSize: 8 << 20},
		"S3, smallest parts":   {PartSize: MinPart},
		"R2":                   {PartSize: 8 << 20, Equal: true},
		"R2, smallest parts":   {PartSize: MinPart, Equal: true},
		"Ceph":                 {PartSize: 8 << 20, AllParts: true},
		"all of these at once": {PartSize: 6 << 20, Equal: true, AllParts: true},
	} {
		t.Run(name, func(t *testing.T) {
			store := &recorded{uploads: map[string]map[int][]byte{}, objects: map[string][]byte{}}
			s.Store, s.Pool, s.Bucket = store, NewPool(64<<20), "b"
			var want []byte
			w, err := s.Writer(t.Context(), "k", "k", -1)
			for i, n := range pieces {
				if err != nil {
					t.Fatal(err)
				}
				piece := bytes.Repeat([]byte{byte(i + 1)}, n)
				want = append(want, piece...)
				if _, err := w.Write(piece); err != nil {
					t.Fatal(err)
				}
				var state []byte
				if state, err = w.Suspend(t.Context()); err != nil {
					t.Fatal(err)
				}
				if w, err = s.Resume(t.Context(), "k", "k", state); err == nil && w.Size() != int64(len(want)) {
					t.Fatalf("after piece %d Size() = %d, want %d", i, w.Size(), len(want))
				}
			}
			if err := errors.Join(err, w.Commit(t.Context())); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(store.objects["k"], want) {
				t.Errorf("%d bytes are not the %d that were written", len(store.objects["k"]), len(want))
			}
			whole, last := store.parts[:len(store.parts)-1], store.parts[len(store.parts)-1]
			if len(whole) == 0 || slices.Min(whole) < MinPart {
				t.Errorf("parts have %d bytes", store.parts)
			}
			if s.Equal && (slices.Min(whole) != slices.Max(whole) || last > whole[0]) {
				t.Errorf("parts have %d bytes, not the same", store.parts)
			}
		})
	}
}

// TestSmallPatchSendsNothing: what is too small for a part waits in the state.
func TestSmallPatchSendsNothing(t *testing.T) {
	store := &recorded{uploads: map[string]map[int][]byte{}, objects: map[string][]byte{}}
	s := &Streams{Store: store, Pool: NewPool(64 << 20), PartSize: 8 << 20}
	w, err := s.Writer(t.Context(), "k", "k", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, MinPart-1)); err != nil {
		t.Fatal(err)
	}
	state, err := w.Suspend(t.Context())
	if err != nil || len(state) < MinPart-1 {
		t.Fatalf("a state of %d bytes, %v", len(state), err)
	}
	for upload, parts := range store.uploads {
		if len(parts) > 0 {
			t.Errorf("upload %s has the parts %v", upload, slices.Collect(maps.Keys(parts)))
		}
	}
}

var _ Store = (*recorded)(nil)
