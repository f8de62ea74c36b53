package gcs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/storage"
	"google.golang.org/api/googleapi"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// errNoUpload is in the error of a request about a stream that is not there.
var errNoUpload = errors.New("the upload is gone")

// statusOf is the HTTP status that the service has answered with; 0: it gave none that can be read.
func statusOf(err error) int {
	var api *googleapi.Error
	var token *auth.Error
	switch {
	case errors.As(err, &api):
		return api.Code
	case errors.Is(err, storage.ErrObjectNotExist), errors.Is(err, storage.ErrBucketNotExist):
		return http.StatusNotFound
	case errors.As(err, &token) && token.Response != nil:
		return token.Response.StatusCode
	}
	return 0
}

// reasonOf is the service's word for what has failed.
func reasonOf(err error) string {
	var api *googleapi.Error
	if errors.As(err, &api) && len(api.Errors) > 0 {
		return api.Errors[0].Reason
	}
	return ""
}

// kindOf is the one place where answers of the service become kinds of drivers. Nil: none of them.
// https://cloud.google.com/storage/docs/json_api/v1/status-codes
func kindOf(err error) error {
	var done *drivers.Error
	var token *auth.Error
	switch {
	case errors.As(err, &done):
		return done.Kind
	case errors.Is(err, errNoUpload):
		return drivers.ErrPrecondition
	case errors.Is(err, storage.ErrBucketNotExist):
		return nil // not ErrNotFound: that says something of a key
	case errors.As(err, &token) && token.Response != nil && !transient(err):
		return drivers.ErrDenied
	case damaged(err):
		return drivers.ErrCorrupt
	}
	switch status := statusOf(err); {
	case status == 0 && wire.Permanent(err):
		return nil
	case status == 0, transient(err):
		return drivers.ErrThrottled
	case status == http.StatusNotFound:
		return drivers.ErrNotFound
	case status == http.StatusPreconditionFailed, status == http.StatusConflict:
		return drivers.ErrPrecondition
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return drivers.ErrDenied
	case status == http.StatusInsufficientStorage:
		return drivers.ErrNoSpace
	case status == http.StatusRequestEntityTooLarge:
		return drivers.ErrInvalid
	}
	return nil
}

// transient reports whether the same request may succeed later:
// https://cloud.google.com/storage/docs/retry-strategy. Conflicts are what two writers of one name get.
func transient(err error) bool {
	status := statusOf(err)
	if status == 0 {
		return !wire.Permanent(err)
	}
	if damaged(err) {
		return true // on the way, or in a proxy
	}
	retryable := []int{http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	return slices.Contains(retryable, status) || status == http.StatusForbidden && (reasonOf(err) == "rateLimitExceeded" || reasonOf(err) == "userRateLimitExceeded")
}

// damaged reports whether the bytes of an object are not those of its checksum: those that the service got, or those that it sent.
func damaged(err error) bool {
	return statusOf(err) == http.StatusBadRequest && strings.Contains(strings.ToLower(err.Error()), "crc32c") ||
		strings.Contains(err.Error(), "storage: bad CRC on read")
}

// try repeats f as the configuration says, and returns how often it was called.
func (d *Driver) try(ctx context.Context, f func() error) (calls int, err error) {
	return wire.Try(ctx, d.c.Attempts, transient, f)
}

// fail is the error that a method of the driver returns: nil for nil, the context's own if that has ended.
func fail(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return wrap(op, key, kindOf(err), err)
}

// wrap makes a *drivers.Error unless err is one.
func wrap(op, key string, kind, err error) error {
	var done *drivers.Error
	if errors.As(err, &done) && done.Key != "" {
		return err
	}
	if statusOf(err) == 0 && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) || errors.Is(err, io.EOF) {
		// Time-outs of the transport, and a connection that broke, are not the caller's context or the end of a body.
		err = errors.New(err.Error())
	}
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: kind, Err: err}
}

// invalid is an error about an argument.
func invalid(op, key, format string, args ...any) error {
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: drivers.ErrInvalid, Err: fmt.Errorf(format, args...)}
}
