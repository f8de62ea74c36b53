package plugin

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// kinds are those of drivers by their numbers on the wire.
var kinds = []error{
	nil, drivers.ErrNotFound, drivers.ErrExists, drivers.ErrPrecondition, drivers.ErrThrottled, drivers.ErrDenied,
	drivers.ErrReadOnly, drivers.ErrNoSpace, drivers.ErrCorrupt, drivers.ErrInvalid,
}

// FailureOf is err for the wire.
func FailureOf(err error) *storagev1.Failure {
	var e *drivers.Error
	if !errors.As(err, &e) {
		e = &drivers.Error{Err: err}
		for _, kind := range kinds[1:] {
			if errors.Is(err, kind) {
				e.Kind = kind
			}
		}
	}
	f := &storagev1.Failure{Op: e.Op, Driver: e.Driver, Key: e.Key}
	for number, kind := range kinds {
		if kind != nil && errors.Is(e.Kind, kind) {
			f.Kind = storagev1.Kind(number)
		}
	}
	if e.Err != nil {
		f.Text = strings.ToValidUTF8(e.Err.Error(), "\uFFFD") // the wire takes no other
	}
	return f
}

// ErrorOf is the error that a failure tells of.
func ErrorOf(f *storagev1.Failure) error {
	e := &drivers.Error{Op: f.GetOp(), Driver: f.GetDriver(), Key: f.GetKey()}
	if n := int(f.GetKind()); n >= 0 && n < len(kinds) {
		e.Kind = kinds[n]
	}
	if f.GetText() != "" || e.Kind == nil {
		e.Err = errors.New(f.GetText())
	}
	return e
}

// statusOf is err as the end of a call.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	code := codes.Unknown
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	s, detailErr := status.New(code, strings.ToValidUTF8(err.Error(), "\uFFFD")).WithDetails(FailureOf(err))
	if detailErr != nil {
		return status.Error(code, err.Error())
	}
	return s.Err()
}

// openStatus is the failure of Open, with the problems of the configuration.
func openStatus(err error) error {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	all := &storagev1.Problems{}
	for _, p := range problems {
		all.Problems = append(all.Problems, &storagev1.Problem{Path: p.Path, Message: p.Message, Hint: p.Hint})
	}
	s, detailErr := status.New(codes.InvalidArgument, err.Error()).WithDetails(all)
	if detailErr != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return s.Err()
}

// InfoTo is info for the wire.
func InfoTo(info drivers.Info) *storagev1.Info {
	i := &storagev1.Info{Size: info.Size, Etag: info.ETag}
	if !info.ModTime.IsZero() {
		i.ModifiedSeconds, i.ModifiedNanos = info.ModTime.Unix(), int32(info.ModTime.Nanosecond())
	}
	return i
}

// InfoFrom is what came over the wire.
func InfoFrom(i *storagev1.Info) drivers.Info {
	info := drivers.Info{Size: i.GetSize(), ETag: i.GetEtag()}
	if i.GetModifiedSeconds() != 0 || i.GetModifiedNanos() != 0 {
		info.ModTime = time.Unix(i.GetModifiedSeconds(), int64(i.GetModifiedNanos()))
	}
	return info
}

// LeftoverTo is l for the wire.
func LeftoverTo(l drivers.Leftover) *storagev1.Leftover {
	return &storagev1.Leftover{Key: l.Key, Id: []byte(l.ID), Size: l.Size, BeganSeconds: l.Began.Unix(), BeganNanos: int32(l.Began.Nanosecond())}
}

// LeftoverFrom is what came over the wire.
func LeftoverFrom(l *storagev1.Leftover) drivers.Leftover {
	return drivers.Leftover{Key: l.GetKey(), ID: string(l.GetId()), Size: l.GetSize(), Began: time.Unix(l.GetBeganSeconds(), int64(l.GetBeganNanos()))}
}
