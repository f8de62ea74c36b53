package glance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/longshore-registry/longshore/drivers"
)

// refusal is an answer that is no success, or none at all.
type refusal struct {
	status int    // of HTTP; 0: there was no answer
	what   string // in words
	err    error  // below HTTP; may be nil
}

func (r *refusal) Error() string {
	if r.err != nil {
		return fmt.Sprintf("%s: %v", r.what, r.err)
	}
	return r.what
}

func (r *refusal) Unwrap() error { return r.err }

// tags are those of HTML: some of Glance's errors are pages.
var tags = regexp.MustCompile(`<[^>]*>`)

// refused makes a refusal of an answer. Its text is the service's, on one line.
func refused(answer *http.Response, body []byte, who string) *refusal {
	text := strings.Join(strings.Fields(tags.ReplaceAllString(string(body[:min(len(body), 1000)]), " ")), " ")
	return &refusal{status: answer.StatusCode, what: strings.TrimSpace(fmt.Sprintf("%s answers %s: %s", who, answer.Status, text))}
}

// statusOf is the status of an answer that was a refusal, 0 for any other error.
func statusOf(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// transient reports whether the same request may succeed a little later. Glance answers 500 when its database is busy.
func transient(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.status {
	case 0:
		return !permanent(r.err)
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return r.status >= 500 && r.status != http.StatusNotImplemented && r.status != http.StatusInsufficientStorage
}

// kindOf is the kind of an answer.
func kindOf(r *refusal) error {
	switch {
	case r.status == http.StatusNotFound:
		return drivers.ErrNotFound
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden:
		return drivers.ErrDenied
	case r.status == http.StatusRequestEntityTooLarge, r.status == http.StatusInsufficientStorage:
		return drivers.ErrNoSpace // quotas too: image_size_cap, user_storage_quota, the limits that keystone keeps
	case r.status == http.StatusGone && strings.Contains(r.what, "disabled"):
		return drivers.ErrReadOnly // the store takes nothing new
	case r.status == http.StatusGone:
		return drivers.ErrPrecondition // the image was removed while its data was on the way: the stream was dropped
	case transient(r):
		return drivers.ErrThrottled
	}
	return nil
}

// fail is the error that a method of the driver returns: nil for nil, the context's own if that has ended, else a
// *drivers.Error.
func fail(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var already *drivers.Error
	if errors.As(err, &already) {
		return err
	}
	e := &drivers.Error{Op: op, Driver: name, Key: key, Err: err}
	var r *refusal
	switch {
	case errors.Is(err, errUnknown):
		e.Kind = drivers.ErrThrottled
	case errors.As(err, &r):
		e.Kind = kindOf(r)
	}
	return e
}

// problem is an error of the driver's own.
func problem(op, key string, kind error, format string, args ...any) error {
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: kind, Err: fmt.Errorf(format, args...)}
}
