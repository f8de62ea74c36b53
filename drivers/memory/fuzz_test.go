package memory

import (
	"errors"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// FuzzState resumes with whatever bytes: nothing but the newest state of the stream goes on with it.
func FuzzState(f *testing.F) {
	d := New(Options{})
	w, err := d.Writer(f.Context(), "a/b", -1)
	if err != nil {
		f.Fatal(err)
	}
	newest, err := w.Suspend(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"", "null", "{}", string(newest), string(newest) + " ", `{"driver":"memory","key":"a/b","stream":-1,"generation":1}`, `{"driver":"memory","key":"c","stream":1,"generation":1}`, `{"driver":"memory","key":"a/b","stream":1,"generation":99}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := d.Resume(t.Context(), "a/b", []byte(text))
		if err != nil {
			if !errors.Is(err, drivers.ErrInvalid) && !errors.Is(err, drivers.ErrPrecondition) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if got := w.(*writer); got.id != 1 || got.generation != 1 {
			t.Errorf("%q goes on with stream %d, generation %d", text, got.id, got.generation)
		}
	})
}
