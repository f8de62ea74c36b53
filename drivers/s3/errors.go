package s3

import (
	"context"
	"errors"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Codes of errors that are told apart here; package bucket knows the rest.
const (
	codeNoSuchBucket = "NoSuchBucket"
	codeInvalidRange = "InvalidRange"
	codeAccessDenied = "AccessDenied"
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

// failures makes the driver's errors.
func failures() bucket.Errors {
	return bucket.Errors{Driver: name, Answer: func(err error) (bucket.Answer, bool) {
		a, ok := answerOf(err)
		return bucket.Answer{Code: a.code, Status: a.status}, ok
	}}
}

// try is wire.Try with the driver's number of attempts.
func (d *Driver) try(ctx context.Context, f func() error) (calls int, err error) {
	return wire.Try(ctx, d.c.Attempts, failures().Retryable, f)
}

// tryWrite is try for requests that make an object.
func (d *Driver) tryWrite(ctx context.Context, f func() error) (calls int, err error) {
	return failures().TryWrite(ctx, d.c.Attempts, serverOf, f)
}

// tryComplete is try for a request that completes an upload; look is one about it.
func (d *Driver) tryComplete(ctx context.Context, f, look func() error) (calls int, err error) {
	return failures().TryComplete(ctx, d.c.Attempts, serverOf, f, look)
}

// serverOf is the name of the server that has answered.
func serverOf(err error) string {
	a, _ := answerOf(err)
	return a.header.Get("Server")
}

// fail is the error that a method returns.
func fail(ctx context.Context, op, key string, err error) error {
	return failures().Fail(ctx, op, key, err)
}

// invalid is an error about an argument.
func invalid(op, key, format string, args ...any) error {
	return failures().Invalid(op, key, format, args...)
}
