package registry

import (
	"context"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// lying is a store that says of each object that it has other than its size.
type lying struct {
	drivers.Driver
	size int64
}

func (l lying) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	body, info, err := l.Driver.Reader(ctx, key, offset, length)
	info.Size = l.size
	return body, info, err
}

// A size that is not true costs no memory, and no process.
func TestSizesThatAreNotTrue(t *testing.T) {
	store := memory.New(memory.Options{})
	must(t, store.Put(t.Context(), "k", []byte("0123456789")))
	for _, size := range []int64{-1, math.MinInt64, 11, 1 << 20, 1 << 40, math.MaxInt64} {
		if _, err := readObject(t.Context(), lying{store, size}, "k"); !errors.Is(err, drivers.ErrCorrupt) {
			t.Errorf("size %d: %v, want ErrCorrupt", size, err)
		}
	}
	long := randomBytes(1, 9<<20)
	must(t, store.Put(t.Context(), "k", long))
	if o, err := readObject(t.Context(), store, "k"); err != nil || string(o.body) != string(long) {
		t.Errorf("a long object: %d bytes, %v", len(o.body), err)
	}
}
