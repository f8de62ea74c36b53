package api

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry"
)

// Codes for answers that the OCI distribution spec has no code for; Docker's registry uses the same.
const (
	unknown           registry.Code = "UNKNOWN"
	unavailable       registry.Code = "UNAVAILABLE"
	paginationInvalid registry.Code = "PAGINATION_NUMBER_INVALID"
	storageFull       registry.Code = "STORAGE_FULL"
	bodyIncomplete    registry.Code = "BODY_INCOMPLETE"
)

// statuses are the HTTP statuses of the spec's codes, section "Error Codes" and the sections of the requests.
var statuses = map[registry.Code]int{
	registry.BlobUnknown:          http.StatusNotFound,
	registry.BlobUploadInvalid:    http.StatusBadRequest,
	registry.BlobUploadUnknown:    http.StatusNotFound,
	registry.Denied:               http.StatusForbidden,
	registry.DigestInvalid:        http.StatusBadRequest,
	registry.ManifestBlobUnknown:  http.StatusBadRequest,
	registry.ManifestInvalid:      http.StatusBadRequest,
	registry.ManifestUnknown:      http.StatusNotFound,
	registry.NameInvalid:          http.StatusBadRequest,
	registry.NameUnknown:          http.StatusNotFound,
	registry.SizeInvalid:          http.StatusBadRequest,
	registry.TagInvalid:           http.StatusBadRequest,
	registry.Unsupported:          http.StatusMethodNotAllowed,
	registry.RangeInvalid:         http.StatusRequestedRangeNotSatisfiable,
	registry.PreconditionFailed:   http.StatusPreconditionFailed,
	registry.ConditionUnsupported: http.StatusNotImplemented,
	registry.TooLarge:             http.StatusRequestEntityTooLarge,
}

// statusError is an answer that concerns HTTP alone.
type statusError struct {
	status  int
	code    registry.Code
	message string
	cause   error
}

func (e *statusError) Error() string {
	if e.cause != nil {
		return e.message + ": " + e.cause.Error()
	}
	return e.message
}

func (e *statusError) Unwrap() error { return e.cause }

type errorBody struct {
	Errors []errorLine `json:"errors"`
}

type errorLine struct {
	Code    registry.Code `json:"code"`
	Message string        `json:"message"`
	Detail  any           `json:"detail,omitempty"`
}

// statusClientGone is what nginx logs for a client that left before its answer.
const statusClientGone = 499

// answerError writes err in the form of the OCI distribution spec, section "Error Codes". What is no fault of the client's is
// told in general words; the log has the rest. It reports false if there can be no answer, because another one has
// begun or the client has gone; then the connection is to be broken.
func (s *server) answerError(w *response, err error) bool {
	if w.status != 0 {
		return false
	}
	status, lines := explain(err)
	if status == statusClientGone {
		w.status = statusClientGone
		return false
	}
	header := w.Header()
	for _, name := range []string{"ETag", "Cache-Control", "Last-Modified", "Accept-Ranges", "Content-Encoding"} {
		header.Del(name)
	}
	if status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "5")
	}
	if status == http.StatusRequestTimeout {
		header.Set("Connection", "close")
	}
	return writeJSON(w, status, errorBody{lines}) == nil
}

// explain is the one place where errors become statuses.
func explain(err error) (int, []errorLine) {
	var many registry.Errors
	var one *registry.Error
	var http1 *statusError
	var body bodyError
	say := func(status int, code registry.Code, message string) (int, []errorLine) {
		return status, []errorLine{{Code: code, Message: message}}
	}
	switch {
	case errors.Is(err, drivers.ErrCorrupt): // before those that tell a client what is wrong with its request: here it is the store
		return say(http.StatusInternalServerError, unknown, "what the registry's store holds for this is damaged; its operator has to look")
	case errors.As(err, &many) && len(many) > 0:
		lines := make([]errorLine, len(many))
		for i, e := range many {
			lines[i] = errorLine{e.Code, e.Message, e.Detail}
		}
		return statuses[many[0].Code], lines
	case errors.As(err, &one):
		return statuses[one.Code], []errorLine{{one.Code, one.Message, one.Detail}}
	case errors.As(err, &http1):
		return say(http1.status, http1.code, http1.message)
	case errors.As(err, &body) && errors.Is(err, os.ErrDeadlineExceeded):
		return say(http.StatusRequestTimeout, bodyIncomplete, "the request's body made no progress for too long (http.idle_timeout)")
	case errors.As(err, &body):
		return say(http.StatusBadRequest, bodyIncomplete, "the request's body ended early")
	case errors.Is(err, drivers.ErrNoSpace):
		return say(http.StatusInsufficientStorage, storageFull, "the registry's store is full")
	case errors.Is(err, drivers.ErrReadOnly):
		return say(http.StatusServiceUnavailable, unavailable, "the registry's store is read-only at present")
	case errors.Is(err, drivers.ErrThrottled):
		return say(http.StatusServiceUnavailable, unavailable, "the registry's store is busy or out of reach; try again")
	case errors.Is(err, drivers.ErrDenied):
		return say(http.StatusInternalServerError, unknown, "the registry's store refuses the registry permission; its operator has to look")
	case errors.Is(err, context.Canceled):
		return say(statusClientGone, unknown, "the client has gone")
	case errors.Is(err, context.DeadlineExceeded):
		return say(http.StatusServiceUnavailable, unavailable, "the registry's store took too long; try again")
	}
	return say(http.StatusInternalServerError, unknown, "the registry failed; its log says more")
}
