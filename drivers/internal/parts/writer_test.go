package parts

import "testing"

func TestPartsHoldTheLargestObject(t *testing.T) {
	for _, base := range []int64{MinPart, 8 << 20, 100 << 20, MaxPart} {
		var total int64
		for number := MarkNumber + 1; number <= MaxNumber; number++ {
			size := grownPart(base, number)
			if size < MinPart || size > MaxPart {
				t.Fatalf("base %d: part %d has %d bytes", base, number, size)
			}
			total += size
		}
		if base >= 8<<20 && total < MaxObject {
			t.Errorf("base %d: all parts hold %d bytes, want 5 TiB", base, total)
		}
		for size := int64(1); size <= MaxObject; size = size*3/2 + 1 {
			part := evenPart(base, size)
			if count := (size + part - 1) / part; count > MaxNumber-MarkNumber || part > MaxPart {
				t.Errorf("base %d: %d bytes are %d parts of %d", base, size, count, part)
			}
		}
		if part := evenPart(base, MaxObject); (MaxObject+part-1)/part > MaxNumber-MarkNumber {
			t.Errorf("base %d: 5 TiB do not fit", base)
		}
	}
}
