package report

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Amounts is how much is measured.
type Amounts struct {
	Requests int   // small ones of each kind, one after another
	Size     int64 // bytes of a large object
	Streams  int   // large objects at once, after one alone
}

// smallObject is the size in bytes of a small object, which most records and manifests of a registry are.
const smallObject = 4 << 10

// Measure says how long small requests take, one after another, and how fast large objects go. tell gets a word
// before each. All keys begin with folder, which ends with a slash; what is left there the caller removes.
func Measure(ctx context.Context, d drivers.Driver, folder string, a Amounts, tell func(string)) (latencies []Latency, speeds []Speed, err error) {
	for _, m := range smallRequests(ctx, d, folder) {
		tell(m.what)
		times := make([]time.Duration, a.Requests)
		for i := range times {
			began := time.Now()
			if err := m.call(i); err != nil {
				return latencies, speeds, fmt.Errorf("%s: %w", m.what, err)
			}
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		latencies = append(latencies, Latency{What: m.what, Count: a.Requests, P50: times[len(times)/2], P99: times[len(times)*99/100]})
	}
	counts := []int{1}
	if a.Streams > 1 {
		counts = append(counts, a.Streams)
	}
	for _, streams := range counts {
		for _, m := range []struct {
			what string
			call func(key string) error
		}{
			{"write", func(key string) error { return fill(ctx, d, key, a.Size) }},
			{"read", func(key string) error { return drain(ctx, d, key) }},
		} {
			tell(fmt.Sprintf("%s with %d streams", m.what, streams))
			errs := make([]error, streams)
			var all sync.WaitGroup
			began := time.Now()
			for i := range errs {
				all.Go(func() { errs[i] = m.call(fmt.Sprintf("%slarge-%d", folder, i)) })
			}
			all.Wait()
			took := time.Since(began)
			if err := errors.Join(errs...); err != nil {
				return latencies, speeds, fmt.Errorf("%s with %d streams: %w", m.what, streams, err)
			}
			speeds = append(speeds, Speed{What: m.what, Streams: streams, Bytes: a.Size, MBs: float64(a.Size) * float64(streams) / took.Seconds() / 1e6})
		}
	}
	return latencies, speeds, nil
}

// smallRequest is one that is measured.
type smallRequest struct {
	what string
	call func(i int) error // the i-th time
}

// smallRequests are in the order in which each finds what it needs.
func smallRequests(ctx context.Context, d drivers.Driver, folder string) []smallRequest {
	body := make([]byte, smallObject)
	key := func(i int) string { return fmt.Sprintf("%ssmall/%06d", folder, i) }
	all := []smallRequest{{"put 4 KiB", func(i int) error { return d.Put(ctx, key(i), body) }}}
	if x := drivers.ExtrasOf(d); x.Absent != nil {
		all = append(all, smallRequest{"put 4 KiB if absent", func(i int) error { return x.Absent.PutIfAbsent(ctx, key(i)+"-absent", body) }})
	}
	return append(all,
		smallRequest{"stat", func(i int) error { _, err := d.Stat(ctx, key(i)); return err }},
		smallRequest{"read 4 KiB", func(i int) error { return drain(ctx, d, key(i)) }},
		smallRequest{"list 100", func(int) error {
			n := 0
			for _, err := range d.List(ctx, folder+"small/", "", "") {
				if err != nil {
					return err
				}
				if n++; n == 100 {
					break
				}
			}
			return nil
		}},
		smallRequest{"delete", func(i int) error { return d.Delete(ctx, key(i)) }},
	)
}

// fill writes size bytes.
func fill(ctx context.Context, d drivers.Driver, key string, size int64) error {
	w, err := d.Writer(ctx, key, size)
	if err != nil {
		return err
	}
	piece := make([]byte, 1<<20)
	_, _ = rand.Read(piece) // never fails; a store may compress what is all alike
	for left := size; left > 0; left -= int64(len(piece)) {
		piece = piece[:min(left, int64(len(piece)))]
		if _, err := w.Write(piece); err != nil {
			return errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
		}
	}
	if err := w.Commit(ctx); err != nil {
		return errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
	}
	return nil
}

// drain reads an object.
func drain(ctx context.Context, d drivers.Driver, key string) error {
	r, _, err := d.Reader(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}
