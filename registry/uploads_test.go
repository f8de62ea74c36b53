package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// Sizes on both sides of what is held in memory.
var uploadSizes = []int{0, 1, 1000, smallUpload - 1, smallUpload, smallUpload + 1, 3 * smallUpload}

func TestUploadInOnePatch(t *testing.T) {
	for _, size := range uploadSizes {
		for _, known := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d bytes, length known %v", size, known), func(t *testing.T) {
				store := newStore(t)
				r := open(t, store)
				b := randomBytes(1, size)
				c := chunk(b)
				if !known {
					c.Length = -1
				}
				u, err := r.StartUpload("a/b", "")
				must(t, err)
				u, err = r.Append(t.Context(), "a/b", u.ID, u.Value, c)
				must(t, err)
				if u.Offset != int64(size) {
					t.Fatalf("offset %d, want %d", u.Offset, size)
				}
				d := digest.FromBytes(b)
				_, err = r.Finish(t.Context(), "a/b", u.ID, u.Value, chunk(nil), d)
				must(t, err)
				wantBlob(t, open(t, store), "a/b", b, d)
				if data := keys(t, store, "data/"); len(data) != 1 {
					t.Errorf("the bytes lie at %v, want one place", data)
				}
			})
		}
	}
}

// Chunks of all kinds, each request served by another replica than the one before.
func TestUploadAcrossReplicas(t *testing.T) {
	for _, sizes := range [][]int{
		{1, 1, 1},
		{1000, smallUpload, 1},
		{smallUpload + 5, 7, smallUpload + 9, 0},
		{smallUpload - 1, 2, 3 * smallUpload},
		{2*smallUpload + 1, 1, 1, 1},
	} {
		for _, ranged := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v ranged %v", sizes, ranged), func(t *testing.T) {
				store := newStore(t)
				replicas := []*Registry{open(t, store.Reopen(nil)), open(t, store.Reopen(nil))}
				u, err := replicas[0].StartUpload("r", digest.SHA512)
				must(t, err)
				var all []byte
				for i, size := range sizes {
					b := randomBytes(uint64(i), size)
					c := chunk(b)
					if ranged && size > 0 {
						c = rangedChunk(b, len(all))
					}
					r := replicas[(i+1)%2]
					u, err = r.Append(t.Context(), "r", u.ID, u.Value, c)
					must(t, err)
					all = append(all, b...)
					if u.Offset != int64(len(all)) {
						t.Fatalf("offset %d after chunk %d, want %d", u.Offset, i, len(all))
					}
					status, err := replicas[i%2].UploadStatus(t.Context(), "r", u.ID, u.Value)
					must(t, err)
					if status.Offset != u.Offset {
						t.Fatalf("the other replica says offset %d, want %d", status.Offset, u.Offset)
					}
				}
				d := digest.SHA512.FromBytes(all)
				_, err = replicas[0].Finish(t.Context(), "r", u.ID, u.Value, chunk(nil), d)
				must(t, err)
				wantBlob(t, replicas[1], "r", all, d)
			})
		}
	}
}

func TestUploadGoesOnAfterItsBodyBroke(t *testing.T) {
	for _, size := range []int{10, smallUpload + 10} {
		for _, other := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes, other replica %v", size, other), func(t *testing.T) {
				store := newStore(t)
				r := open(t, store)
				next := r
				if other {
					next = open(t, store.Reopen(nil))
				}
				u, err := r.StartUpload("r", "")
				must(t, err)
				b := randomBytes(3, size)
				broken := Chunk{Body: failing{bytes.NewReader(b[:size-4]), io.ErrUnexpectedEOF}, Length: int64(size)}
				if _, err := r.Append(t.Context(), "r", u.ID, u.Value, broken); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("error %v, want the body's", err)
				}
				status, err := next.UploadStatus(t.Context(), "r", u.ID, u.Value)
				must(t, err)
				if status.Offset != int64(size-4) {
					t.Fatalf("offset %d after %d bytes had come", status.Offset, size-4)
				}
				d := digest.FromBytes(b)
				_, err = next.Finish(t.Context(), "r", u.ID, status.Value, rangedChunk(b[size-4:], size-4), d)
				must(t, err)
				wantBlob(t, r, "r", b, d)
			})
		}
	}
}

// A request that is repeated because its answer was lost gives the same again, whole, and never appends twice.
func TestRepeatedRequests(t *testing.T) {
	for _, size := range []int{10, smallUpload + 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			store := newStore(t)
			r := open(t, store)
			start, err := r.StartUpload("r", "")
			must(t, err)
			b := randomBytes(4, size)
			d := digest.FromBytes(b)
			first, err := r.Append(t.Context(), "r", start.ID, start.Value, chunk(b))
			must(t, err)
			second, err := r.Append(t.Context(), "r", start.ID, start.Value, chunk(b))
			must(t, err)
			if second.Offset != first.Offset {
				t.Fatalf("offset %d after the repetition, want %d", second.Offset, first.Offset)
			}
			u, err := r.Append(t.Context(), "r", start.ID, second.Value, rangedChunk(b, 0))
			wantCode(t, err, RangeInvalid)
			if u.Offset != int64(size) {
				t.Fatalf("the refusal says offset %d, want %d", u.Offset, size)
			}
			_, err = r.Finish(t.Context(), "r", start.ID, first.Value, chunk(nil), d)
			must(t, err)
			for name, replica := range map[string]*Registry{"same": r, "other": open(t, store.Reopen(nil))} {
				if _, err := replica.Finish(t.Context(), "r", start.ID, first.Value, chunk(nil), d); err != nil {
					t.Errorf("the closing request repeated at the %s replica: %v", name, err)
				}
			}
			wantBlob(t, r, "r", b, d)
		})
	}
}

// A value of an upload that was closed must not change what was committed.
func TestReplayAfterCommit(t *testing.T) {
	store := newStore(t)
	r, other := open(t, store), open(t, store.Reopen(nil))
	u, err := r.StartUpload("r", "")
	must(t, err)
	b := randomBytes(5, 2*smallUpload)
	mid, err := r.Append(t.Context(), "r", u.ID, u.Value, chunk(b))
	must(t, err)
	d := digest.FromBytes(b)
	_, err = r.Finish(t.Context(), "r", u.ID, mid.Value, chunk(nil), d)
	must(t, err)
	evil := append(bytes.Clone(b), "more"...)
	if _, err := other.Finish(t.Context(), "r", u.ID, mid.Value, chunk([]byte("more")), digest.FromBytes(evil)); err == nil {
		wantBlob(t, r, "r", evil, digest.FromBytes(evil))
	}
	wantBlob(t, other, "r", b, d)
}

// Two records must never name the same bytes, else the collection of one takes them from the other.
func TestOneValueClosedWithTwoAlgorithms(t *testing.T) {
	for _, size := range []int{100, smallUpload + 1} {
		store := newStore(t)
		r, other := open(t, store), open(t, store.Reopen(nil))
		u, err := r.StartUpload("r", "")
		must(t, err)
		b := randomBytes(6, size)
		u, err = r.Append(t.Context(), "r", u.ID, u.Value, chunk(b))
		must(t, err)
		d256, d512 := digest.SHA256.FromBytes(b), digest.SHA512.FromBytes(b)
		_, err = r.Finish(t.Context(), "r", u.ID, u.Value, chunk(nil), d512)
		must(t, err)
		wantBlob(t, other, "r", b, d512)
		if _, err = other.Finish(t.Context(), "r", u.ID, u.Value, chunk(nil), d256); err != nil {
			wantCode(t, err, BlobUploadUnknown)
			continue
		}
		first, err := other.Blob(t.Context(), "r", d256)
		must(t, err)
		second, err := other.Blob(t.Context(), "r", d512)
		must(t, err)
		if first.data == second.data {
			t.Errorf("%d bytes: both records name %s", size, first.data)
		}
	}
}

func TestCancelIsSeenByAllReplicas(t *testing.T) {
	for _, size := range []int{0, 10, smallUpload + 1} {
		store := newStore(t)
		r, other, third := open(t, store), open(t, store.Reopen(nil)), open(t, store.Reopen(nil))
		u, err := r.StartUpload("r", "")
		must(t, err)
		if size > 0 {
			u, err = r.Append(t.Context(), "r", u.ID, u.Value, chunk(randomBytes(7, size)))
			must(t, err)
		}
		must(t, other.CancelUpload(t.Context(), "r", u.ID, u.Value))
		_, err = third.UploadStatus(t.Context(), "r", u.ID, u.Value)
		wantCode(t, err, BlobUploadUnknown)
		wantCode(t, other.CancelUpload(t.Context(), "r", u.ID, u.Value), BlobUploadUnknown)
	}
}

func TestSessionOfAnotherPlaceOrTime(t *testing.T) {
	store := newStore(t)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := openWith(t, store, Options{Now: func() time.Time { return now }})
	u, err := r.StartUpload("r", "")
	must(t, err)
	stranger := open(t, newStore(t))
	status := func(r *Registry, repo, id, value string) error {
		_, err := r.UploadStatus(t.Context(), repo, id, value)
		return err
	}
	wantCode(t, status(r, "q", u.ID, u.Value), BlobUploadUnknown)
	wantCode(t, status(r, "r", newUUID(), u.Value), BlobUploadUnknown)
	wantCode(t, status(stranger, "r", u.ID, u.Value), BlobUploadUnknown)
	wantCode(t, status(r, "r", u.ID, strings.ToLower(u.Value)), BlobUploadUnknown)
	wantCode(t, status(r, "r", u.ID, ""), BlobUploadUnknown)
	must(t, status(r, "r", u.ID, u.Value))
	now = now.Add(25 * time.Hour)
	wantCode(t, status(r, "r", u.ID, u.Value), BlobUploadUnknown)
}

func TestWrongDigest(t *testing.T) {
	for _, size := range []int{10, smallUpload + 10} {
		store := newStore(t)
		r := open(t, store)
		u, err := r.StartUpload("r", "")
		must(t, err)
		b := randomBytes(8, size)
		wrong := digest.FromString("other")
		_, err = r.Finish(t.Context(), "r", u.ID, u.Value, chunk(b), wrong)
		wantCode(t, err, DigestInvalid)
		for _, d := range []digest.Digest{wrong, digest.FromBytes(b)} {
			_, err = r.Blob(t.Context(), "r", d)
			wantCode(t, err, BlobUnknown)
		}
		// The session is as it was, so the right digest can follow.
		_, err = r.Finish(t.Context(), "r", u.ID, u.Value, chunk(b), digest.FromBytes(b))
		must(t, err)
		wantBlob(t, r, "r", b, digest.FromBytes(b))
	}
}

// Many clients push the same blob to different repositories on different replicas: one copy stays.
func TestSameBlobFromManyClients(t *testing.T) {
	store := newStore(t)
	replicas := []*Registry{open(t, store.Reopen(nil)), open(t, store.Reopen(nil)), open(t, store.Reopen(nil))}
	b := randomBytes(9, smallUpload+100)
	d := digest.FromBytes(b)
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			r, repo := replicas[i%3], fmt.Sprintf("r%d", i%5)
			if err := r.PutBlob(t.Context(), repo, chunk(b), d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 5 {
		wantBlob(t, replicas[i%3], fmt.Sprintf("r%d", i), b, d)
	}
	if data := keys(t, store, "data/"); len(data) != 1 {
		t.Errorf("%d copies of the bytes stayed", len(data))
	}
}

func TestUploadMemoryIsBounded(t *testing.T) {
	store := newStore(t)
	r := openWith(t, store, Options{UploadMemory: 100 << 10})
	b := randomBytes(10, 1<<20)
	for _, length := range []int64{-1, int64(len(b))} {
		must(t, r.PutBlob(t.Context(), "r", Chunk{Body: bytes.NewReader(b), Length: length}, digest.FromBytes(b)))
	}
	wantBlob(t, r, "r", b, digest.FromBytes(b))
	if !r.uploadMemory.TryAcquire(100 << 10) {
		t.Error("memory was not given back")
	}
}

func TestDataGone(t *testing.T) {
	store := newStore(t)
	r := open(t, store)
	d := putBlob(t, r, "r", []byte("x"))
	blob, err := r.Blob(t.Context(), "r", d)
	must(t, err)
	must(t, store.Delete(t.Context(), blob.data))
	if _, err := r.OpenBlob(t.Context(), blob, 0, -1); !errors.Is(err, drivers.ErrCorrupt) || errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("error %v, want one of kind ErrCorrupt", err)
	}
}
