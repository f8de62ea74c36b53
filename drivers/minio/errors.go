package minio

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Codes that minio-go has no constants for, from MinIO's cmd/api-errors.go and
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
const (
	codeExpiredToken     = "ExpiredToken"
	codeInvalidTokenID   = "InvalidTokenId"
	codeUnauthorized     = "UnauthorizedAccess"
	codeStorageFull      = "XMinioStorageFull"
	codeQuota            = "XMinioAdminBucketQuotaExceeded"
	codeQuotaRGW         = "QuotaExceeded"
	codeChecksumMismatch = "XAmzContentChecksumMismatch"
	codeTampered         = "XMinioObjectTampered"
	codeKeyTooLong       = "KeyTooLongError"
	codeRequestTimeout   = "RequestTimeout"
	codeSlowDown         = "SlowDown"
	codeSlowDownRead     = "SlowDownRead"
	codeSlowDownWrite    = "SlowDownWrite"
	codeServerBusy       = "ServerBusy"
	codeTooManyRequests  = "TooManyRequests"
	codeConditional      = "ConditionalRequestConflict"
	codeAborted          = "OperationAborted"
)

// kindOf is the one place where answers of the store become kinds of drivers. Nil: none of them.
func kindOf(err error) error {
	var done *drivers.Error
	if errors.As(err, &done) {
		return done.Kind
	}
	if errors.Is(err, errNoUpload) {
		return drivers.ErrPrecondition
	}
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) {
		// No answer, or none that can be read. A certificate that is not trusted stays so.
		if wire.Permanent(err) {
			return nil
		}
		return drivers.ErrThrottled
	}
	switch resp.Code {
	case minio.NoSuchKey, minio.NoSuchVersion:
		return drivers.ErrNotFound
	case minio.NoSuchBucket:
		return nil // not ErrNotFound: that says something of a key
	case minio.PreconditionFailed, minio.NoSuchUpload, minio.InvalidPart, minio.InvalidPartOrder:
		return drivers.ErrPrecondition
	case minio.AccessDenied, minio.AllAccessDisabled, minio.InvalidAccessKeyID, minio.SignatureDoesNotMatch,
		minio.RequestTimeTooSkewed, codeExpiredToken, codeInvalidTokenID, codeUnauthorized:
		return drivers.ErrDenied
	case codeStorageFull, codeQuota, codeQuotaRGW:
		return drivers.ErrNoSpace
	case codeChecksumMismatch, minio.XAmzContentSHA256Mismatch, minio.BadDigest, codeTampered:
		return drivers.ErrCorrupt
	case minio.EntityTooLarge, codeKeyTooLong, minio.XMinioInvalidObjectName:
		return drivers.ErrInvalid
	}
	switch {
	case transient(resp):
		return drivers.ErrThrottled
	case resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized:
		return drivers.ErrDenied
	case resp.StatusCode == http.StatusInsufficientStorage:
		return drivers.ErrNoSpace
	}
	return nil
}

// errNoUpload is in the error of a request about a multipart upload that is not there.
var errNoUpload = errors.New("the upload is gone")

// noUpload adds errNoUpload where err says so. Ceph 16 says of ListParts and others NoSuchKey.
func noUpload(err error) error {
	if code := minio.ToErrorResponse(err).Code; code == minio.NoSuchUpload || code == minio.NoSuchKey {
		return fmt.Errorf("%w: %w", errNoUpload, err)
	}
	return err
}

// transient reports whether the store says that the same request may succeed later.
func transient(resp minio.ErrorResponse) bool {
	switch resp.Code {
	case codeStorageFull, codeQuota, codeQuotaRGW, codeTampered, minio.NotImplemented:
		return false
	case minio.InternalError, codeRequestTimeout, codeSlowDown, codeSlowDownRead, codeSlowDownWrite, codeServerBusy,
		codeTooManyRequests, minio.IncompleteBody, codeConditional, codeAborted:
		return true // also in a body with status 200, as CompleteMultipartUpload's may be
	}
	switch resp.StatusCode {
	case http.StatusNotImplemented, http.StatusInsufficientStorage:
		return false
	case http.StatusRequestTimeout, http.StatusTooManyRequests, 499: // 499: the server thinks that we left
		return true
	}
	return resp.StatusCode >= 500
}

// retryable reports whether it is worth sending the request again. All requests of this driver
// can be repeated: bodies are in memory, and those that create something conditionally know
// their own object again (see put and complete).
func retryable(err error) bool {
	var resp minio.ErrorResponse
	if !errors.As(err, &resp) {
		return !wire.Permanent(err)
	}
	switch resp.Code {
	case codeChecksumMismatch, minio.BadDigest, minio.XAmzContentSHA256Mismatch:
		return true // damaged on the way, or in a proxy: what is sent is right
	}
	return transient(resp)
}

// try is wire.Try with the driver's number of attempts. minio-go itself also waits up to 200 ms.
func (d *Driver) try(ctx context.Context, f func() error) (calls int, err error) {
	return wire.Try(ctx, d.attempts, retryable, f)
}

// tryWrite is try for requests that make an object. MinIO says AccessDenied when it makes one in a folder that it
// removes at that moment, since the last object in it was deleted; so that is tried again a few times.
func (d *Driver) tryWrite(ctx context.Context, f func() error) (calls int, err error) {
	again := 3
	return wire.Try(ctx, d.attempts, func(err error) bool {
		if resp := minio.ToErrorResponse(err); again > 0 && resp.Code == minio.AccessDenied && resp.Server == "MinIO" {
			again--
			return true
		}
		return retryable(err)
	}, f)
}

// fail is the error that a method returns: nil for nil, the context's own if that has ended, else
// a *drivers.Error.
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
	if errors.As(err, &done) {
		return err
	}
	var resp minio.ErrorResponse
	switch {
	case errors.As(err, &resp) && resp.RequestID != "":
		err = fmt.Errorf("%w (%s, request %s)", err, resp.Code, resp.RequestID)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		// net/http's own time-outs say that they are DeadlineExceeded; no context of the caller's has ended.
		err = errors.New(err.Error())
	}
	if resp.Code == minio.AccessDenied {
		err = bucket.WithRights(op, err)
	}
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: kind, Err: err}
}

// invalid is an error about an argument.
func invalid(op, key, format string, args ...any) error {
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: drivers.ErrInvalid, Err: fmt.Errorf(format, args...)}
}
