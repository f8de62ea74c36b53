package registry

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Code is an error code of the OCI distribution spec, section "Error Codes", or of Docker's
// registry API where OCI has none.
type Code string

// The codes that a Registry answers with.
const (
	BlobUnknown         Code = "BLOB_UNKNOWN"
	BlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	BlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	Denied              Code = "DENIED"
	DigestInvalid       Code = "DIGEST_INVALID"
	ManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	ManifestInvalid     Code = "MANIFEST_INVALID"
	ManifestUnknown     Code = "MANIFEST_UNKNOWN"
	NameInvalid         Code = "NAME_INVALID"
	NameUnknown         Code = "NAME_UNKNOWN"
	SizeInvalid         Code = "SIZE_INVALID"
	TagInvalid          Code = "TAG_INVALID"
	Unsupported         Code = "UNSUPPORTED"

	// RangeInvalid is a chunk that is not the next one (416 in the spec, which has no code for it).
	RangeInvalid Code = "RANGE_INVALID"
	// PreconditionFailed is an If-Match or If-None-Match that does not hold.
	PreconditionFailed Code = "PRECONDITION_FAILED"
	// ConditionUnsupported is one for tags on a store that can't hold it.
	ConditionUnsupported Code = "CONDITION_UNSUPPORTED"
	// TooLarge is a manifest over the limit.
	TooLarge Code = "MANIFEST_TOO_LARGE"
)

// Error is a request that cannot be done, for a reason that the client may know.
type Error struct {
	Code    Code
	Message string
	Detail  any   // goes into the answer as JSON; nil for none
	Err     error // the cause, for the log alone; may be nil
}

// Error gives the code, the message and the cause.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors are several reasons at once, such as each blob that a manifest lacks.
type Errors []*Error

// Error joins the messages.
func (e Errors) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap gives each of them.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

// HasCode reports whether err is, or holds, an Error with that code.
func HasCode(err error, code Code) bool {
	var one *Error
	return errors.As(err, &one) && one.Code == code
}

func errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) with(key string, value any) *Error {
	m, ok := e.Detail.(map[string]any)
	if !ok {
		m = map[string]any{}
		e.Detail = m
	}
	if text, ok := value.(string); ok {
		value = brief(text)
	}
	m[key] = value
	return e
}

// brief is text that a client sent, cut to what a reader of an error wants to see of it.
func brief(text string) string {
	const most = 500 // bytes
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

func blobUnknown(d digest.Digest) *Error {
	return errorf(BlobUnknown, "blob unknown to repository").with("digest", d)
}

func manifestUnknown(repo, ref string) *Error {
	return errorf(ManifestUnknown, "manifest unknown").with("name", repo).with("reference", ref)
}
