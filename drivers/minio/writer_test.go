package minio

import (
	"errors"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

func TestPartsHoldTheLargestObject(t *testing.T) {
	for _, base := range []int64{minPart, 8 << 20, 100 << 20, maxPart} {
		var total int64
		for number := markNumber + 1; number <= maxNumber; number++ {
			size := grownPart(base, number)
			if size < minPart || size > maxPart {
				t.Fatalf("base %d: part %d has %d bytes", base, number, size)
			}
			total += size
		}
		if base >= 8<<20 && total < maxObject {
			t.Errorf("base %d: all parts hold %d bytes, want 5 TiB", base, total)
		}
		for size := int64(1); size <= maxObject; size = size*3/2 + 1 {
			part := evenPart(base, size)
			if parts := (size + part - 1) / part; parts > maxNumber-markNumber || part > maxPart {
				t.Errorf("base %d: %d bytes are %d parts of %d", base, size, parts, part)
			}
		}
		if part := evenPart(base, maxObject); (maxObject+part-1)/part > maxNumber-markNumber {
			t.Errorf("base %d: 5 TiB do not fit", base)
		}
	}
}

func TestWriterRefusesWhatS3CannotHold(t *testing.T) {
	d := fake(t, nil)
	if _, err := d.Writer(t.Context(), "a/b", maxObject+1); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestEndedWriter(t *testing.T) {
	d := fake(t, nil)
	w, err := d.Writer(t.Context(), "a/b", -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("Write: %v, want ErrInvalid", err)
	}
	if _, err := w.Suspend(t.Context()); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("Suspend: %v, want ErrInvalid", err)
	}
	if err := w.Commit(t.Context()); !errors.Is(err, drivers.ErrInvalid) {
		t.Errorf("Commit: %v, want ErrInvalid", err)
	}
	if err := w.Cancel(t.Context()); err != nil {
		t.Errorf("Cancel again: %v", err)
	}
}
