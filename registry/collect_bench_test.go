package registry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
)

var (
	benchBlobs  = flag.Int("blobs", 0, "how many blobs the benchmarks of collections make; 0: a million in a folder, 100,000 on MinIO")
	benchFolder = flag.String("folder", "", "where BenchmarkCollectFolder makes its store; default a folder for temporary files")
)

// BenchmarkCollectFolder collects 800,000 of a million blobs in a folder, and then once more with nothing to do:
//
//	go test ./registry -run - -bench CollectFolder -benchtime 1x -timeout 3h -folder /dev/shm
//
// That takes 9 GB and 2.5 million inodes.
func BenchmarkCollectFolder(b *testing.B) {
	root, err := os.MkdirTemp(*benchFolder, "longshore-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			b.Error(err)
		}
	})
	d, err := fs.Open(b.Context(), fs.Config{Root: root, Durability: fs.Fast})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkCollect(b, d, cmp.Or(*benchBlobs, 1_000_000))
}

// benchmarkCollect fills the store with images whose blobs are a fifth of all, and measures collections. An iteration is a store of its own.
func benchmarkCollect(b *testing.B, store drivers.Driver, blobs int) {
	const layersOfAnImage, imagesOfARepository = 20, 10
	live := blobs / 5
	for b.Loop() {
		b.StopTimer()
		fill(b, store, blobs, live, layersOfAnImage, imagesOfARepository)
		counted := &requests{Driver: aged{store}}
		r, err := Open(b.Context(), counted, Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		debug.FreeOSMemory()
		b.StartTimer()
		gone := 0 // blobs, and data of blobs whose record went when the time for its announcement was just over
		for _, round := range []string{"first", "second"} {
			counted.calls.Store(0)
			counted.keys.Store(0)
			peak := watchMemory()
			report, err := r.Collect(b.Context(), CollectOptions{})
			heap, resident, took := peak()
			if err != nil {
				b.Fatal(err)
			}
			b.Logf("%s: %d blobs of %d removed, %d keys listed, %d deleted, %d requests, %v, peak heap %d MiB, peak memory of the process %d MiB",
				round, report.Removed[RemovedBlob].Count, blobs, report.Listed, counted.keys.Load(), counted.calls.Load(), took.Round(time.Second), heap>>20, resident>>20)
			b.ReportMetric(took.Seconds(), round+"-s")
			b.ReportMetric(float64(resident>>20), round+"-peak-MiB")
			b.ReportMetric(float64(counted.calls.Load()), round+"-requests")
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

// requests counts what a collection asks of a store, as S3 would count it: a listing has 1,000 keys, and so has a request to delete.
type requests struct {
	drivers.Driver
	calls, keys atomic.Int64
}

func (q *requests) Extras() drivers.Extras {
	e := drivers.ExtrasOf(q.Driver)
	return drivers.Extras{Absent: countedAbsent{q, e.Absent}, Match: countedMatch{q, e.Match}, Sweep: e.Sweep}
}

type countedAbsent struct {
	q *requests
	drivers.AbsentPutter
}

func (c countedAbsent) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	c.q.calls.Add(1)
	return c.AbsentPutter.PutIfAbsent(ctx, key, body)
}

type countedMatch struct {
	q *requests
	drivers.MatchPutter
}

func (c countedMatch) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	c.q.calls.Add(1)
	return c.MatchPutter.PutIfMatch(ctx, key, body, etag)
}

func (q *requests) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	q.calls.Add(1)
	return q.Driver.Reader(ctx, key, offset, length)
}

func (q *requests) Stat(ctx context.Context, key string) (drivers.Info, error) {
	q.calls.Add(1)
	return q.Driver.Stat(ctx, key)
}

func (q *requests) Put(ctx context.Context, key string, body []byte) error {
	q.calls.Add(1)
	return q.Driver.Put(ctx, key, body)
}

func (q *requests) Delete(ctx context.Context, keys ...string) error {
	q.calls.Add(1)
	q.keys.Add(int64(len(keys)))
	return q.Driver.Delete(ctx, keys...)
}

func (q *requests) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	const page = 1000
	return func(yield func(drivers.Entry, error) bool) {
		n := 0
		for e, err := range q.Driver.List(ctx, prefix, after, delimiter) {
			if n%page == 0 {
				q.calls.Add(1)
			}
			n++
			if !yield(e, err) {
				return
			}
		}
		if n == 0 {
			q.calls.Add(1)
		}
	}
}

// watchMemory samples memory; the function that it returns ends that and gives the largest heap, the largest memory of the process, as Linux counts
// it (0 elsewhere), and how long it was.
func watchMemory() func() (heap, resident uint64, took time.Duration) {
	stop, ended := make(chan struct{}), make(chan struct{})
	var most, resident uint64
	began := time.Now()
	go func() {
		defer close(ended)
		for t := time.NewTicker(50 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most, resident = max(most, m.HeapAlloc), max(resident, residentNow())
			select {
			case <-t.C:
			case <-stop:
				t.Stop()
				return
			}
		}
	}()
	return func() (uint64, uint64, time.Duration) {
		took := time.Since(began)
		close(stop)
		<-ended
		return most, resident, took
	}
}

func residentNow() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages uint64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
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
