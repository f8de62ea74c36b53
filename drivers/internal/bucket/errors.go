package bucket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Answer is what a store says of a request that failed. Codes are from
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, MinIO's cmd/api-errors.go and Ceph's src/rgw/rgw_common.cc.
type Answer struct {
	Code   string // "" if there is none
	Status int    // of HTTP; 0 if it is not known
}

// Kind is the one place where answers of stores become kinds of drivers. Nil: none of them.
func (a Answer) Kind() error {
	switch a.Code {
	case "NoSuchKey", "NoSuchVersion":
		return drivers.ErrNotFound
	case "NoSuchBucket":
		return nil // not ErrNotFound: that says something of a key
	case "PreconditionFailed", "NoSuchUpload", "InvalidPart", "InvalidPartOrder":
		return drivers.ErrPrecondition
	case "AccessDenied", "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed",
		"ExpiredToken", "InvalidToken", "InvalidTokenId", "UnauthorizedAccess":
		return drivers.ErrDenied
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded":
		return drivers.ErrNoSpace
	case "XMinioObjectTampered":
		return drivers.ErrCorrupt
	case "EntityTooLarge", "KeyTooLongError", "XMinioInvalidObjectName":
		return drivers.ErrInvalid
	}
	switch {
	case a.Damaged():
		return drivers.ErrCorrupt
	case a.Transient():
		return drivers.ErrThrottled
	case a.Status == http.StatusNotFound: // a HEAD's
		return drivers.ErrNotFound
	case a.Status == http.StatusPreconditionFailed:
		return drivers.ErrPrecondition
	case a.Status == http.StatusForbidden || a.Status == http.StatusUnauthorized:
		return drivers.ErrDenied
	case a.Status == http.StatusInsufficientStorage:
		return drivers.ErrNoSpace
	}
	return nil
}

// Transient reports whether the store says that the same request may succeed later.
func (a Answer) Transient() bool {
	switch a.Code {
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "XMinioObjectTampered", "NotImplemented":
		return false
	case "InternalError", "RequestTimeout", "SlowDown", "SlowDownRead", "SlowDownWrite", "ServerBusy", "ServiceUnavailable", "Busy",
		"TooManyRequests", "Throttling", "ThrottlingException", "KMS.ThrottlingException", "RequestLimitExceeded", "IncompleteBody",
		"ConditionalRequestConflict", "OperationAborted",
		"ExistingObjectIsDirectory": // versitygw's, when a neighbour's folder goes as ours is made; no key is a folder for good
		return true // also in a body with status 200, as CompleteMultipartUpload's may be
	}
	switch a.Status {
	case http.StatusNotImplemented, http.StatusInsufficientStorage:
		return false
	case http.StatusRequestTimeout, http.StatusTooManyRequests, 499: // 499: the server thinks that we left
		return true
	}
	return a.Status >= 500
}

// Damaged reports whether what arrived is not what was sent: it was damaged on the way, or in a proxy, so it is worth sending again.
func (a Answer) Damaged() bool {
	return a.Code == "XAmzContentChecksumMismatch" || a.Code == "XAmzContentSHA256Mismatch" || a.Code == "BadDigest"
}

// lacksRight reports whether a right is missing, as far as an answer tells: that to a HEAD has no code.
func (a Answer) lacksRight() bool {
	return a.Code == "AccessDenied" || a.Status == http.StatusForbidden && (a.Code == "" || a.Code == "Forbidden")
}

// ErrNoUpload is in the error of a request about a multipart upload that is not there.
var ErrNoUpload = errors.New("the upload is gone")

// Errors makes the errors of one driver.
type Errors struct {
	Driver string // its name

	// Answer finds the store's answer in an error of the SDK. false: the store gave none, or none that can be read.
	Answer func(err error) (Answer, bool)
}

// Kind is the kind of err: that of the answer, or of a store out of reach.
func (e Errors) Kind(err error) error {
	var done *drivers.Error
	if errors.As(err, &done) {
		return done.Kind
	}
	if errors.Is(err, ErrNoUpload) {
		return drivers.ErrPrecondition
	}
	a, ok := e.Answer(err)
	if !ok {
		if wire.Permanent(err) {
			return nil
		}
		return drivers.ErrThrottled
	}
	return a.Kind()
}

// Retryable reports whether it is worth sending the request again. All requests of these drivers
// can be repeated: bodies are in memory, and those that create something conditionally know
// their own object again (see [Bucket.PutIfAbsent] and package parts).
func (e Errors) Retryable(err error) bool {
	a, ok := e.Answer(err)
	if !ok {
		return !wire.Permanent(err)
	}
	return a.Damaged() || a.Transient()
}

// NoUpload adds [ErrNoUpload] where err, of a request about an upload, says so. Ceph 16 says of ListParts and others NoSuchKey.
func (e Errors) NoUpload(err error) error {
	if a, _ := e.Answer(err); a.Code == "NoSuchUpload" || a.Code == "NoSuchKey" {
		return fmt.Errorf("%w: %w", ErrNoUpload, err)
	}
	return err
}

// Fail is the error that a method returns: nil for nil, the context's own if that has ended, else
// a *drivers.Error, which names the right that is missing.
func (e Errors) Fail(ctx context.Context, op, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var done *drivers.Error
	if errors.As(err, &done) {
		return err
	}
	kind := e.Kind(err)
	a, answered := e.Answer(err)
	switch {
	case a.lacksRight():
		err = withRights(op, err)
	case !answered && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		// net/http's own time-outs say that they are DeadlineExceeded; no context of the caller's has ended.
		err = errors.New(err.Error())
	}
	return &drivers.Error{Op: op, Driver: e.Driver, Key: key, Kind: kind, Err: err}
}

// Invalid is an error about an argument.
func (e Errors) Invalid(op, key, format string, args ...any) error {
	return &drivers.Error{Op: op, Driver: e.Driver, Key: key, Kind: drivers.ErrInvalid, Err: fmt.Errorf(format, args...)}
}

// TryWrite is [wire.Try] for requests that make an object. MinIO says AccessDenied when it makes one in a folder that it
// removes at that moment, since the last object in it was deleted; so that is tried again a few times. server is the answer's Server.
func (e Errors) TryWrite(ctx context.Context, attempts int, server func(err error) string, f func() error) (calls int, err error) {
	again := 3
	return wire.Try(ctx, attempts, func(err error) bool {
		if a, _ := e.Answer(err); again > 0 && a.Code == "AccessDenied" && server(err) == "MinIO" {
			again--
			return true
		}
		return e.Retryable(err)
	}, f)
}

// TryComplete is TryWrite for a request that completes an upload; its error is that of [Errors.NoUpload]. Once an upload was completed, Ceph 16 answers
// one that names other parts with InternalError for ever ("already in progress"). So after that look, a request about the upload, tells whether it is gone. Then
// calls is more than one, since the request that failed may have completed it.
func (e Errors) TryComplete(ctx context.Context, attempts int, server func(err error) string, f, look func() error) (calls int, err error) {
	gone := false
	calls, err = e.TryWrite(ctx, attempts, server, func() error {
		err := f()
		if a, _ := e.Answer(err); a.Code != "InternalError" {
			return err
		}
		if lookErr := look(); errors.Is(lookErr, ErrNoUpload) {
			gone = true
			return lookErr
		}
		return err
	})
	if gone {
		calls++
	}
	return calls, e.NoUpload(err)
}

// TryPart is [wire.Try] for a request that sends a part; its error is that of [Errors.NoUpload]. A server that finds the upload gone may answer
// and close before it has read the body, and then the answer is lost to a connection that was reset. So where the last attempt ended in
// that way, look, a request about the upload, tells.
func (e Errors) TryPart(ctx context.Context, attempts int, f, look func() error) error {
	_, err := wire.Try(ctx, attempts, e.Retryable, f)
	if err == nil || ctx.Err() != nil {
		return err
	}
	var late interface{ Timeout() bool }
	if _, answered := e.Answer(err); !answered && e.Retryable(err) && !(errors.As(err, &late) && late.Timeout()) {
		if lookErr := look(); errors.Is(lookErr, ErrNoUpload) {
			return lookErr
		}
	}
	return e.NoUpload(err)
}

// Skew says how far the store's clock is from ours, as far as its answer tells.
func Skew(header http.Header) string {
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return "by more than it allows"
	}
	return fmt.Sprintf("by %v", time.Since(theirs).Round(time.Second).Abs())
}
