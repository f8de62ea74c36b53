package storagev1_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// kinds are all that an error can be.
var kinds = []error{
	drivers.ErrNotFound, drivers.ErrExists, drivers.ErrPrecondition, drivers.ErrThrottled, drivers.ErrDenied, drivers.ErrReadOnly,
	drivers.ErrNoSpace, drivers.ErrCorrupt, drivers.ErrInvalid, context.Canceled, context.DeadlineExceeded,
}

func kindsOf(err error) (is []error) {
	return slices.DeleteFunc(slices.Clone(kinds), func(kind error) bool { return !errors.Is(err, kind) })
}

// FuzzFailure reads a Failure of the wire: the error that it becomes has words, and stays what it is over any number of plugins.
func FuzzFailure(f *testing.F) {
	for _, err := range []error{
		&drivers.Error{Op: "put", Driver: "x", Key: "a/b", Kind: drivers.ErrThrottled, Err: errors.New("busy")}, &drivers.Error{Key: "\xff", Err: context.Canceled},
		&drivers.Error{Op: "stat", Kind: drivers.ErrNotFound}, errors.New("\xff"), context.DeadlineExceeded,
	} {
		b, err := proto.Marshal(storagev1.FailureOf(err))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0x20, 0xff, 0xff, 0xff, 0xff, 0x0f}) // a kind of a newer version
	f.Fuzz(func(t *testing.T, b []byte) {
		var failure storagev1.Failure
		if proto.Unmarshal(b, &failure) != nil {
			return
		}
		err := storagev1.ErrorOf(&failure)
		if err == nil || err.Error() == "" {
			t.Fatalf("%v became %v", &failure, err)
		}
		again := storagev1.FailureOf(err)
		if got := storagev1.ErrorOf(again); got.Error() != err.Error() || !slices.Equal(kindsOf(got), kindsOf(err)) {
			t.Errorf("%v became %v (%v)", err, got, kindsOf(got))
		}
		if _, err := proto.Marshal(again); err != nil {
			t.Errorf("%v can't be sent on: %v", &failure, err)
		}
	})
}

// FuzzInfo: facts come through the wire as they are, to the nanosecond.
func FuzzInfo(f *testing.F) {
	f.Add(int64(1), "etag", int64(1700000000), int32(999999999))
	f.Add(int64(-1), "\xff", int64(-62135596800), int32(-1))
	f.Add(int64(0), "", int64(0), int32(0))
	f.Fuzz(func(t *testing.T, size int64, etag string, seconds int64, nanos int32) {
		info := storagev1.InfoFrom(&storagev1.Info{Size: size, Etag: etag, ModifiedSeconds: seconds, ModifiedNanos: nanos})
		again := storagev1.InfoFrom(storagev1.InfoTo(info))
		if again.Size != info.Size || !again.ModTime.Equal(info.ModTime) || utf8.ValidString(etag) && again.ETag != etag {
			t.Errorf("%+v became %+v", info, again)
		}
		l := drivers.Leftover{Key: etag, ID: etag, Size: size, Began: time.Unix(seconds, int64(nanos))}
		if got := storagev1.LeftoverFrom(storagev1.LeftoverTo(l)); got.Key != l.Key || got.ID != l.ID || got.Size != l.Size || !got.Began.Equal(l.Began) && l.Began.Unix() != 0 {
			t.Errorf("%+v became %+v", l, got)
		}
	})
}
