package minio

import (
	"errors"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

func TestWriterRefusesWhatS3CannotHold(t *testing.T) {
	d := fake(t, nil)
	if _, err := d.Writer(t.Context(), "a/b", parts.MaxObject+1); !errors.Is(err, drivers.ErrInvalid) {
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
