package storagev1

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// kinds are those of drivers by their numbers on the wire.
var kinds = []error{
	nil, drivers.ErrNotFound, drivers.ErrExists, drivers.ErrPrecondition, drivers.ErrThrottled, drivers.ErrDenied,
	drivers.ErrReadOnly, drivers.ErrNoSpace, drivers.ErrCorrupt, drivers.ErrInvalid,
}

// ended are the errors of contexts by their numbers on the wire.
var ended = []error{nil, context.Canceled, context.DeadlineExceeded}

// number is the place of the first of all that err is, 0 if it is none.
func number(all []error, err error) int {
	for i, one := range all {
		if one != nil && errors.Is(err, one) {
			return i
		}
	}
	return 0
}

// FailureOf is err for the wire. Of an error around a [drivers.Error] all the text is kept.
func FailureOf(err error) *Failure {
	e, exact := err.(*drivers.Error)
	if !exact {
		var within *drivers.Error
		e = &drivers.Error{Err: err}
		if errors.As(err, &within) {
			e.Op, e.Driver, e.Key, e.Kind = within.Op, within.Driver, within.Key, within.Kind
		}
	}
	f := &Failure{Op: UTF8(e.Op), Driver: UTF8(e.Driver), Key: []byte(e.Key), Ended: Ended(number(ended, err))}
	if e.Kind != nil {
		err = e.Kind // it counts before what is within
	}
	f.Kind = Kind(number(kinds, err))
	if e.Err != nil {
		f.Text = UTF8(e.Err.Error())
	}
	return f
}

// UTF8 is s for a field of the wire that takes nothing else.
func UTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// ErrorOf is the error that a failure tells of: a [drivers.Error] of its kind, which is context.Canceled or DeadlineExceeded too where
// the plugin's driver has said so.
func ErrorOf(f *Failure) error {
	e := &drivers.Error{Op: f.GetOp(), Driver: f.GetDriver(), Key: string(f.GetKey())}
	if n := int(f.GetKind()); n >= 0 && n < len(kinds) {
		e.Kind = kinds[n]
	}
	cause := told{text: f.GetText()}
	if n := int(f.GetEnded()); n >= 0 && n < len(ended) {
		cause.ended = ended[n]
	}
	if cause != (told{}) || e.Kind == nil {
		e.Err = cause
	}
	return e
}

// told is what the other side said.
type told struct {
	text  string
	ended error // of a context, or nil
}

// Error is the other side's text.
func (t told) Error() string { return t.text }

// Unwrap is the error of a context.
func (t told) Unwrap() error { return t.ended }

// InfoTo is info for the wire.
func InfoTo(info drivers.Info) *Info {
	i := &Info{Size: info.Size, Etag: UTF8(info.ETag)}
	if !info.ModTime.IsZero() {
		i.ModifiedSeconds, i.ModifiedNanos = info.ModTime.Unix(), int32(info.ModTime.Nanosecond())
	}
	return i
}

// InfoFrom is what came over the wire.
func InfoFrom(i *Info) drivers.Info {
	return drivers.Info{Size: i.GetSize(), ETag: i.GetEtag(), ModTime: moment(i.GetModifiedSeconds(), i.GetModifiedNanos())}
}

// LeftoverTo is l for the wire.
func LeftoverTo(l drivers.Leftover) *Leftover {
	to := &Leftover{Key: []byte(l.Key), Id: []byte(l.ID), Size: l.Size}
	if !l.Began.IsZero() {
		to.BeganSeconds, to.BeganNanos = l.Began.Unix(), int32(l.Began.Nanosecond())
	}
	return to
}

// LeftoverFrom is what came over the wire.
func LeftoverFrom(l *Leftover) drivers.Leftover {
	return drivers.Leftover{Key: string(l.GetKey()), ID: string(l.GetId()), Size: l.GetSize(), Began: moment(l.GetBeganSeconds(), l.GetBeganNanos())}
}

// moment is a time of the wire, where 0 stands for none.
func moment(seconds int64, nanos int32) time.Time {
	if seconds == 0 && nanos == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanos))
}
