package registry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
)

// BenchmarkCollectFolder collects 800,000 of a million blobs in a folder, and then once more with nothing to do. It takes 9 GB of disk and half
// an hour on two cores: go test ./registry -run - -bench CollectFolder -benchtime 1x -timeout 2h. With -short it is a hundredth of that.
func BenchmarkCollectFolder(b *testing.B) {
	d, err := fs.Open(b.Context(), fs.Config{Root: b.TempDir(), Durability: fs.Fast})
	if err != nil {
		b.Fatal(err)
	}
	blobs := 1_000_000
	if testing.Short() {
		blobs /= 100
	}
	benchmarkCollect(b, d, blobs)
}

// benchmarkCollect fills the store with images whose blobs are a fifth of all, and measures collections. An iteration is a store of its own.
func benchmarkCollect(b *testing.B, store drivers.Driver, blobs int) {
	const layersOfAnImage, imagesOfARepository = 20, 10
	live := blobs / 5
	for b.Loop() {
		b.StopTimer()
		fill(b, store, blobs, live, layersOfAnImage, imagesOfARepository)
		r, err := Open(b.Context(), aged{store}, Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		b.StartTimer()
		gone := 0 // blobs, and data of blobs whose record went when the time for its announcement was just over
		for _, round := range []string{"first", "second"} {
			peak := watchHeap()
			began := time.Now()
			report, err := r.Collect(b.Context(), CollectOptions{})
			heap, took := peak(), time.Since(began)
			if err != nil {
				b.Fatal(err)
			}
			b.Logf("%s: %d blobs of %d removed, %d keys listed, %v, peak heap %d MiB", round, report.Removed[RemovedBlob].Count, blobs, report.Listed, took.Round(time.Second), heap>>20)
			b.ReportMetric(took.Seconds(), round+"-s")
			b.ReportMetric(float64(heap>>20), round+"-peak-MiB")
			b.ReportMetric(float64(report.Listed), round+"-keys")
			gone += report.Removed[RemovedBlob].Count + report.Removed[RemovedData].Count
			for _, note := range report.Notes {
				b.Log(note)
			}
		}
		if gone != blobs-live {
			b.Fatalf("removed %d blobs, want %d", gone, blobs-live)
		}
		r.Close()
	}
}

// watchHeap samples the heap; the function that it returns ends that and gives the largest.
func watchHeap() func() uint64 {
	stop, ended := make(chan struct{}), make(chan struct{})
	var most uint64
	go func() {
		defer close(ended)
		for t := time.NewTicker(50 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
			select {
			case <-t.C:
			case <-stop:
				t.Stop()
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-ended
		return most
	}
}

// fill writes blobs as pushes leave them; the first of them are in images.
func fill(b *testing.B, store drivers.Driver, blobs, live, layers, images int) {
	b.Helper()
	ctx := b.Context()
	when := time.Now().Add(-age)
	digestOf := func(i int) digest.Digest {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(i))
		return digest.NewDigestFromBytes(digest.SHA256, sum(n[:]))
	}
	var written atomic.Int64
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4 * parallelCollect)
	put := func(key string, body []byte) {
		g.Go(func() error {
			written.Add(1)
			return store.Put(gctx, key, body)
		})
	}
	for i := range blobs {
		d, data := digestOf(i), newDataKey(when)
		record, err := json.Marshal(blobRecord{Size: 8, Data: data})
		if err != nil {
			b.Fatal(err)
		}
		put(data, []byte("8 bytes."))
		put(recordKey(d), record)
		if i < live {
			put(linkKey(fmt.Sprintf("team/r%d", i/layers/images), d), []byte(nonce()))
		}
	}
	for first := 0; first < live; first += layers {
		repo := fmt.Sprintf("team/r%d", first/layers/images)
		m := v1.Manifest{MediaType: v1.MediaTypeImageManifest, Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digestOf(first), Size: 8}}
		m.SchemaVersion = 2
		for i := first + 1; i < min(first+layers, live); i++ {
			m.Layers = append(m.Layers, v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: digestOf(i), Size: 8})
		}
		body, err := json.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		manifest := &Manifest{Digest: digest.FromBytes(body), MediaType: m.MediaType, Body: body, Pushed: when, id: nonce()}
		raw, err := manifest.encode()
		if err != nil {
			b.Fatal(err)
		}
		put(manifestKey(repo, manifest.Digest), raw)
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d objects, %d of %d blobs in images", written.Load(), live, blobs)
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

// age is how old aged makes objects.
const age = 30 * 24 * time.Hour

// aged is a store on which all but the collector's own objects are old.
type aged struct{ drivers.Driver }

func (a aged) Extras() drivers.Extras { return drivers.ExtrasOf(a.Driver) }

func (a aged) info(key string, i drivers.Info) drivers.Info {
	if len(key) < 3 || key[:3] != "gc/" {
		i.ModTime = i.ModTime.Add(-age)
	}
	return i
}

func (a aged) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	body, i, err := a.Driver.Reader(ctx, key, offset, length)
	return body, a.info(key, i), err
}

func (a aged) Stat(ctx context.Context, key string) (drivers.Info, error) {
	i, err := a.Driver.Stat(ctx, key)
	return a.info(key, i), err
}

func (a aged) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	return func(yield func(drivers.Entry, error) bool) {
		for e, err := range a.Driver.List(ctx, prefix, after, delimiter) {
			if e.Info = a.info(e.Key, e.Info); !yield(e, err) {
				return
			}
		}
	}
}
