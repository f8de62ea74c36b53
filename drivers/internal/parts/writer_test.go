package parts

import (
	"errors"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

func TestPartsHoldTheLargestObject(t *testing.T) {
	for _, base := range []int64{MinPart, 8 << 20, 100 << 20, MaxPart} {
		s := &Streams{PartSize: base}
		var total int64
		for number := MarkNumber + 1; number <= MaxNumber; number++ {
			size := s.grownPart(base, number)
			if size < MinPart || size > MaxPart {
				t.Fatalf("base %d: part %d has %d bytes", base, number, size)
			}
			total += size
		}
		if base >= 8<<20 && total < MaxObject {
			t.Errorf("base %d: all parts hold %d bytes, want 5 TiB", base, total)
		}
		for size := int64(1); size <= MaxObject; size = size*3/2 + 1 {
			part := s.evenPart(size)
			if count := (size + part - 1) / part; count > MaxNumber-MarkNumber || part > MaxPart {
				t.Errorf("base %d: %d bytes are %d parts of %d", base, size, count, part)
			}
		}
		if part := s.evenPart(MaxObject); (MaxObject+part-1)/part > MaxNumber-MarkNumber {
			t.Errorf("base %d: 5 TiB do not fit", base)
		}
	}
}

// A static large object of Ceph has 1,000 segments.
func TestFewNumbers(t *testing.T) {
	s := &Streams{PartSize: 8 << 20, Most: 1000}
	var total int64
	for number := MarkNumber + 1; number <= s.Most; number++ {
		total += s.grownPart(s.PartSize, number)
	}
	if total < 1<<39 {
		t.Errorf("without a known size an object holds %d bytes, want 512 GiB", total)
	}
	const largest = 999 * MaxPart
	if part := s.evenPart(largest); part != MaxPart {
		t.Errorf("%d bytes are parts of %d", int64(largest), part)
	}
	for _, size := range []int64{largest + 1, MaxObject} {
		if _, err := s.Writer(t.Context(), "a", "a", size); !errors.Is(err, drivers.ErrInvalid) {
			t.Errorf("a Writer of %d bytes: %v, want ErrInvalid", size, err)
		}
	}
}
