package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// breaking is a driver whose bodies break off after some bytes.
type breaking struct {
	drivers.Driver
	after int64 // bytes of each body
	opens int
	swap  func() // before each request but the first
}

func (b *breaking) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	if b.opens++; b.opens > 1 && b.swap != nil {
		b.swap()
	}
	body, info, err := b.Driver.Reader(ctx, key, offset, length)
	if err != nil {
		return nil, info, err
	}
	return &breakingBody{body, b.after}, info, nil
}

type breakingBody struct {
	io.ReadCloser
	left int64
}

var errBroken = &drivers.Error{Op: "reader", Driver: "test", Kind: drivers.ErrThrottled, Err: errors.New("connection reset")}

func (b *breakingBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errBroken
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func TestSteady(t *testing.T) {
	m := memory.New(memory.Options{})
	body := bytes.Repeat([]byte("0123456789"), 100)
	if err := m.Put(t.Context(), "a/o", body); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ offset, length int64 }{{0, -1}, {0, 1000}, {5, -1}, {5, 500}, {0, 2000}, {999, 1}, {1000, -1}, {0, 0}} {
		d := &breaking{Driver: m, after: 70}
		r, info, err := openSteady(t.Context(), d, "a/o", test.offset, test.length)
		if err != nil || info.Size != 1000 {
			t.Fatalf("%+v: %v, %v", test, info, err)
		}
		want := body[test.offset:]
		if test.length >= 0 {
			want = want[:min(int64(len(want)), test.length)]
		}
		got, err := io.ReadAll(r)
		if len(want) == 0 && err != nil { // a body that is empty may break before its end
			err = nil
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%+v: %d bytes, want %d, %v", test, len(got), len(want), err)
		}
	}
}

func TestSteadyGivesUp(t *testing.T) {
	m := memory.New(memory.Options{})
	if err := m.Put(t.Context(), "a/o", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	dead := &breaking{Driver: m, after: 0}
	r, _, err := openSteady(t.Context(), dead, "a/o", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, drivers.ErrThrottled) || dead.opens != 1+mostBreaks {
		t.Errorf("after %d requests: %v", dead.opens, err)
	}
	gone := &breaking{Driver: m, after: 4, swap: func() {
		if err := m.Delete(t.Context(), "a/o"); err != nil {
			t.Fatal(err)
		}
	}}
	r, _, err = openSteady(t.Context(), gone, "a/o", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, drivers.ErrNotFound) || string(got) != "0123" {
		t.Errorf("an object that is gone: %q, %v", got, err)
	}
	if err := m.Put(t.Context(), "a/o", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	other := &breaking{Driver: m, after: 4, swap: func() {
		if err := m.Put(t.Context(), "a/o", []byte("abcdefghij")); err != nil {
			t.Fatal(err)
		}
	}}
	r, _, err = openSteady(t.Context(), other, "a/o", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, drivers.ErrCorrupt) || string(got) != "0123" {
		t.Errorf("an object that was replaced: %q, %v", got, err)
	}
}

// Small objects may be replaced, so they are read again from the beginning.
func TestReadObjectAgain(t *testing.T) {
	m := memory.New(memory.Options{})
	if err := m.Put(t.Context(), "a/o", []byte("0123456789")); err != nil {
		t.Fatal(err)
	}
	d := &breaking{Driver: m, after: 4}
	d.swap = func() { d.after = 100 }
	o, err := readObject(t.Context(), d, "a/o")
	if err != nil || string(o.body) != "0123456789" || d.opens != 2 {
		t.Errorf("%q after %d requests, %v", o.body, d.opens, err)
	}
	d = &breaking{Driver: m, after: 4}
	if _, err := readObject(t.Context(), d, "a/o"); !errors.Is(err, drivers.ErrThrottled) || d.opens != 1+mostBreaks {
		t.Errorf("after %d requests: %v", d.opens, err)
	}
}
