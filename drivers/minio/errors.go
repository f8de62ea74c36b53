package minio

import (
	"context"
	"errors"
	"fmt"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Codes that minio-go has no constants for.
const (
	codeExpiredToken   = "ExpiredToken"
	codeInvalidTokenID = "InvalidTokenId"
)

// failures makes the driver's errors.
func failures() bucket.Errors {
	return bucket.Errors{Driver: name, Answer: func(err error) (bucket.Answer, bool) {
		var resp minio.ErrorResponse
		ok := errors.As(err, &resp)
		return bucket.Answer{Code: resp.Code, Status: resp.StatusCode}, ok
	}}
}

// try is wire.Try with the driver's number of attempts. minio-go itself also waits up to 200 ms.
func (d *Driver) try(ctx context.Context, f func() error) (calls int, err error) {
	return wire.Try(ctx, d.attempts, failures().Retryable, f)
}

// tryWrite is try for requests that make an object.
func (d *Driver) tryWrite(ctx context.Context, f func() error) (calls int, err error) {
	return failures().TryWrite(ctx, d.attempts, serverOf, f)
}

// tryComplete is try for a request that completes an upload; look is one about it.
func (d *Driver) tryComplete(ctx context.Context, f, look func() error) (calls int, err error) {
	return failures().TryComplete(ctx, d.attempts, serverOf, f, look)
}

// serverOf is the name of the server that has answered.
func serverOf(err error) string { return minio.ToErrorResponse(err).Server }

// fail is the error that a method returns. minio-go's own text lacks the code and the name of the request.
func fail(ctx context.Context, op, key string, err error) error {
	var done *drivers.Error
	var resp minio.ErrorResponse
	if !errors.As(err, &done) && errors.As(err, &resp) && resp.RequestID != "" {
		err = fmt.Errorf("%w (%s, request %s)", err, resp.Code, resp.RequestID)
	}
	return failures().Fail(ctx, op, key, err)
}

// invalid is an error about an argument.
func invalid(op, key, format string, args ...any) error {
	return failures().Invalid(op, key, format, args...)
}
