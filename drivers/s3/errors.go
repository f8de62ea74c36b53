package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Codes of errors, from https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, MinIO's
// cmd/api-errors.go and Ceph's src/rgw/rgw_common.cc.
const (
	codeNoSuchKey          = "NoSuchKey"
	codeNoSuchBucket       = "NoSuchBucket"
	codeNoSuchUpload       = "NoSuchUpload"
	codePreconditionFailed = "PreconditionFailed"
	codeInvalidRange       = "InvalidRange"
	codeAccessDenied       = "AccessDenied"
)

// An answer is an error that the store has answered with.
type answer struct {
	code    string // "" if there is none
	status  int    // of HTTP
	request string // the store's name for the request
	header  http.Header
}

// answerOf finds the store's answer in an error of the SDK. false: the store gave none, or none that can be read.
func answerOf(err error) (answer, bool) {
	var one *refusal
	if errors.As(err, &one) {
		return one.answer, true
	}
	var resp *smithyhttp.ResponseError
	if !errors.As(err, &resp) || resp.Response == nil || resp.Response.Response == nil {
		return answer{}, false
	}
	a := answer{status: resp.HTTPStatusCode(), header: resp.Response.Header}
	var named *awshttp.ResponseError
	if errors.As(err, &named) {
		a.request = named.ServiceRequestID()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		a.code = api.ErrorCode()
	} else if a.status < 300 {
		return a, false // it broke off, or is no XML
	}
	if code := a.header.Get("X-Minio-Error-Code"); code != "" {
		a.code = code // the answer to a HEAD has no body
	}
	return a, true
}

// codeOf is the code of the store's answer, "" if there is none.
func codeOf(err error) string {
	a, _ := answerOf(err)
	return a.code
}

// kindOf is the one place where answers of the store become kinds of drivers. Nil: none of them.
func kindOf(err error) error {
	var done *drivers.Error
	if errors.As(err, &done) {
		return done.Kind
	}
	if errors.Is(err, errNoUpload) {
		return drivers.ErrPrecondition
	}
	a, ok := answerOf(err)
	if !ok {
		if wire.Permanent(err) {
			return nil
		}
		return drivers.ErrThrottled
	}
	switch a.code {
	case codeNoSuchKey, "NoSuchVersion":
		return drivers.ErrNotFound
	case codeNoSuchBucket:
		return nil // not ErrNotFound: that says something of a key
	case codePreconditionFailed, "InvalidPart", "InvalidPartOrder":
		return drivers.ErrPrecondition
	case codeAccessDenied, "AllAccessDisabled", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed",
		"ExpiredToken", "InvalidToken", "InvalidTokenId", "UnauthorizedAccess":
		return drivers.ErrDenied
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded":
		return drivers.ErrNoSpace
	case "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "BadDigest", "XMinioObjectTampered":
		return drivers.ErrCorrupt
	case "EntityTooLarge", "KeyTooLongError", "XMinioInvalidObjectName":
		return drivers.ErrInvalid
	}
	switch {
	case transient(a):
		return drivers.ErrThrottled
	case a.status == http.StatusNotFound: // a HEAD's
		return drivers.ErrNotFound
	case a.status == http.StatusPreconditionFailed:
		return drivers.ErrPrecondition
	case a.status == http.StatusForbidden || a.status == http.StatusUnauthorized:
		return drivers.ErrDenied
	case a.status == http.StatusInsufficientStorage:
		return drivers.ErrNoSpace
	}
	return nil
}

// errNoUpload is in the error of a request about a multipart upload that is not there.
var errNoUpload = errors.New("the upload is gone")

// noUpload adds errNoUpload where err says so. Ceph 16 says of ListParts and others NoSuchKey.
func noUpload(err error) error {
	if code := codeOf(err); code == codeNoSuchUpload || code == codeNoSuchKey {
		return fmt.Errorf("%w: %w", errNoUpload, err)
	}
	return err
}

// transient reports whether the store says that the same request may succeed later.
func transient(a answer) bool {
	switch a.code {
	case "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "XMinioObjectTampered", "NotImplemented":
		return false
	case "InternalError", "RequestTimeout", "SlowDown", "SlowDownRead", "SlowDownWrite", "ServerBusy", "ServiceUnavailable", "Busy",
		"TooManyRequests", "Throttling", "ThrottlingException", "KMS.ThrottlingException", "RequestLimitExceeded", "IncompleteBody",
		"ConditionalRequestConflict", "OperationAborted",
		"ExistingObjectIsDirectory": // versitygw's, when a neighbour's folder goes as ours is made; no key is a folder for good
		return true // also in a body with status 200, as CompleteMultipartUpload's may be
	}
	switch a.status {
	case http.StatusNotImplemented, http.StatusInsufficientStorage:
		return false
	case http.StatusRequestTimeout, http.StatusTooManyRequests, 499: // 499: the server thinks that we left
		return true
	}
	return a.status >= 500
}

// retryable reports whether it is worth sending the request again. All requests of this driver
// can be repeated: bodies are in memory, and those that create something conditionally know
// their own object again (see putIf and parts).
func retryable(err error) bool {
	a, ok := answerOf(err)
	if !ok {
		return !wire.Permanent(err)
	}
	switch a.code {
	case "XAmzContentChecksumMismatch", "BadDigest", "XAmzContentSHA256Mismatch":
		return true // damaged on the way, or in a proxy: what is sent is right
	}
	return transient(a)
}

// try is wire.Try with the driver's number of attempts.
func (d *Driver) try(ctx context.Context, f func() error) (calls int, err error) {
	return wire.Try(ctx, d.c.Attempts, retryable, f)
}

// tryWrite is try for requests that make an object. MinIO says AccessDenied when it makes one in a folder that it
// removes at that moment, since the last object in it was deleted; so that is tried again a few times.
func (d *Driver) tryWrite(ctx context.Context, f func() error) (calls int, err error) {
	again := 3
	return wire.Try(ctx, d.c.Attempts, func(err error) bool {
		if a, _ := answerOf(err); again > 0 && a.code == codeAccessDenied && a.header.Get("Server") == "MinIO" {
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
	if _, ok := answerOf(err); !ok && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		// net/http's own time-outs say that they are DeadlineExceeded; no context of the caller's has ended.
		err = errors.New(err.Error())
	}
	if a, _ := answerOf(err); a.code == codeAccessDenied || a.status == http.StatusForbidden && (a.code == "" || a.code == "Forbidden") { // a HEAD's
		err = bucket.WithRights(op, err)
	}
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: kind, Err: err}
}

// invalid is an error about an argument.
func invalid(op, key, format string, args ...any) error {
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: drivers.ErrInvalid, Err: fmt.Errorf(format, args...)}
}

// skew says how far the store's clock is from ours, as far as its answer tells.
func skew(header http.Header) string {
	theirs, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return "by more than it allows"
	}
	return fmt.Sprintf("by %v", time.Since(theirs).Round(time.Second).Abs())
}
