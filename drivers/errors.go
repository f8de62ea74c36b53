package drivers

import (
	"errors"
	"fmt"
)

// The kinds of failure that callers tell apart, found with errors.Is. Each driver turns its
// backend's codes into these in one function.
var (
	ErrNotFound     = errors.New("not found")
	ErrExists       = errors.New("exists already")
	ErrPrecondition = errors.New("changed meanwhile")
	ErrThrottled    = errors.New("the store is busy or out of reach") // after the driver's retries
	ErrDenied       = errors.New("the store refuses permission")
	ErrReadOnly     = errors.New("the store is read-only")
	ErrNoSpace      = errors.New("the store is full")
	ErrCorrupt      = errors.New("the store returned something else than was stored")
	ErrInvalid      = errors.New("invalid argument")
)

// Error says what was being done when a backend failed.
type Error struct {
	Op     string // the method, in lower case
	Driver string // "fs", "minio", …
	Key    string
	Kind   error // one of the kinds above, or nil
	Err    error // what the backend or its SDK said; may be nil
}

// Error names the driver, the method and the key, then the cause.
func (e *Error) Error() string {
	cause := e.Err
	if cause == nil {
		cause = e.Kind
	} else if e.Kind != nil {
		return fmt.Sprintf("%s: %s %q: %v: %v", e.Driver, e.Op, e.Key, e.Kind, e.Err)
	}
	return fmt.Sprintf("%s: %s %q: %v", e.Driver, e.Op, e.Key, cause)
}

// Unwrap gives errors.Is and errors.As both the kind and the backend's own error.
func (e *Error) Unwrap() []error {
	var all []error
	if e.Kind != nil {
		all = append(all, e.Kind)
	}
	if e.Err != nil {
		all = append(all, e.Err)
	}
	return all
}
