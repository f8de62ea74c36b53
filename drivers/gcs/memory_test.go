//go:build integration

package gcs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// TestMemoryOf16Writers writes 16 objects of 20 MiB at once through 24 MiB of buffers.
func TestMemoryOf16Writers(t *testing.T) {
	c := at(t)
	c.PartSize, c.Memory = parts.MinPart, 24<<20
	d := open(t, c)
	body := pattern(1, 20<<20+1)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop := make(chan struct{})
	var highest atomic.Uint64
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				highest.Store(max(highest.Load(), m.HeapAlloc))
			}
		}
	})
	errs := make([]error, 16)
	var writers sync.WaitGroup
	for i := range errs {
		writers.Go(func() {
			size := int64(-1)
			if i%2 == 0 {
				size = int64(len(body))
			}
			w, err := d.Writer(t.Context(), fmt.Sprintf("m/%02d", i), size)
			if err == nil {
				_, err = io.Copy(w, struct{ io.Reader }{bytes.NewReader(body)})
			}
			if err == nil {
				err = w.Commit(t.Context())
			}
			errs[i] = err
		})
	}
	writers.Wait()
	close(stop)
	watching.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if used, peak := d.streams.Pool.Used(); peak > c.Memory || used != 0 {
		t.Errorf("the pool took %d bytes, %d are still in use; the limit is %d", peak, used, c.Memory)
	}
	// Beside the pool there are connections and what the collector has not got round to. Without a bound it would be 320 MiB.
	grown := int64(highest.Load()) - int64(before.HeapAlloc)
	if most := 2*c.Memory + 32<<20; grown > most {
		t.Errorf("the heap grew by %d MiB, want at most %d", grown>>20, most>>20)
	}
	t.Logf("the heap grew by %d MiB", grown>>20)
	for i := range errs {
		info, err := d.Stat(t.Context(), fmt.Sprintf("m/%02d", i))
		if err != nil || info.Size != int64(len(body)) {
			t.Errorf("object %d: %+v, %v", i, info, err)
		}
	}
	holds(t, d, "m/07", body)
}
