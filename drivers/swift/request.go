package swift

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/ncw/swift/v2"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// request is one to the object store.
type request struct {
	method  string
	account bool   // it is about the account, not the container
	object  string // name in the container; "" for the container itself
	query   url.Values
	header  map[string]string
	body    []byte
}

// refusal is an answer that is no success.
type refusal struct {
	status int // of HTTP; 0: there was no answer
	what   string
	err    error
	header http.Header
}

// Error is what the store has said.
func (r *refusal) Error() string {
	if r.err != nil {
		return fmt.Sprintf("%s: %v", r.what, r.err)
	}
	return fmt.Sprintf("status %d: %s (transaction %s)", r.status, r.what, r.header.Get("X-Trans-Id"))
}

// Unwrap is the library's error.
func (r *refusal) Unwrap() error { return r.err }

// swiftStatus is the status in an error of the library.
func swiftStatus(err error) int {
	var e *swift.Error
	if errors.As(err, &e) {
		return e.StatusCode
	}
	return 0
}

// do sends r until it is answered as the configuration's attempts allow. The caller closes the body of the answer. A token that the store does
// not take any more is renewed once for each attempt.
func (d *Driver) do(ctx context.Context, r request) (answer *http.Response, err error) {
	_, err = wire.Try(ctx, d.c.Attempts, transient, func() (err error) {
		answer, err = d.send(ctx, r)
		return err
	})
	return answer, err
}

// run is do for answers whose body does not matter.
func (d *Driver) run(ctx context.Context, r request) (http.Header, error) {
	answer, err := d.do(ctx, r)
	if err != nil {
		return nil, err
	}
	drain(answer)
	return answer.Header, nil
}

// drain ends an answer whose body does not matter, so that its connection can be used again.
func drain(answer *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	_ = answer.Body.Close()
}

// send sends r once, or twice with a new token.
func (d *Driver) send(ctx context.Context, r request) (*http.Response, error) {
	stale := ""
	for {
		account, token, err := d.session.get(ctx, stale)
		if err != nil {
			return nil, err
		}
		answer, err := d.sendOnce(ctx, r, account, token)
		var refused *refusal
		if stale == "" && errors.As(err, &refused) && refused.status == http.StatusUnauthorized {
			stale = token
			continue
		}
		return answer, err
	}
}

func (d *Driver) sendOnce(ctx context.Context, r request, account, token string) (*http.Response, error) {
	address := account
	if !r.account {
		address += "/" + url.PathEscape(d.c.Container)
	}
	if r.object != "" {
		address += "/" + r.object // keys need no escapes
	}
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, nil)
	if err != nil {
		return nil, err
	}
	if len(r.body) > 0 {
		lent := wire.Lend(r.body)
		defer lent.TakeBack()
		req.Body, req.ContentLength = io.NopCloser(lent), int64(len(r.body))
	} else if r.method == http.MethodPut || r.method == http.MethodPost {
		req.Body = http.NoBody // Content-Length: 0
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	req.Header.Set("X-Auth-Token", token)
	req.Header.Set("User-Agent", d.c.UserAgent)
	answer, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return answer, nil
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 2048)) // what could be read of it
	_ = answer.Body.Close()
	return nil, &refusal{status: answer.StatusCode, what: string(bytes.TrimSpace(text)), header: answer.Header}
}

// newest is the header that has Swift ask all replicas.
func (d *Driver) newest() map[string]string {
	if !d.c.Newest {
		return map[string]string{}
	}
	return map[string]string{"X-Newest": "true"}
}

// errNoUpload is in the error of a request about a stream that is not there, errSealed in one that another process has shut out.
var (
	errNoUpload = errors.New("the upload is gone")
	errSealed   = fmt.Errorf("%w: another process commits or cancels it", errNoUpload)
)

// statusOf is the status that was answered with; 0: none was.
func statusOf(err error) int {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.status
	}
	return 0
}

// kindOf is the one place where answers become kinds of drivers. Nil: none of them.
func kindOf(err error) error {
	var done *drivers.Error
	switch {
	case errors.As(err, &done):
		return done.Kind
	case errors.Is(err, errNoUpload):
		return drivers.ErrPrecondition
	}
	switch status := statusOf(err); {
	case status == 0 && wire.Permanent(err):
		return nil
	case status == 0, transient(err):
		return drivers.ErrThrottled
	case status == http.StatusNotFound:
		return drivers.ErrNotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return drivers.ErrDenied
	case status == http.StatusPreconditionFailed:
		return drivers.ErrPrecondition
	case status == http.StatusInsufficientStorage, status == http.StatusRequestEntityTooLarge: // a full disk, and a quota
		return drivers.ErrNoSpace
	case status == http.StatusUnprocessableEntity:
		return drivers.ErrCorrupt
	}
	return nil
}

// transient reports whether the same request may succeed later. 498 is the rate limit of older clusters, 409 a write with an older time than
// the one before, as two proxies with different clocks make it.
func transient(err error) bool {
	var refused *refusal
	status := statusOf(err)
	if status == 0 {
		return !wire.Permanent(err)
	}
	if status == http.StatusRequestEntityTooLarge && errors.As(err, &refused) && refused.header.Get("Retry-After") != "" {
		return true // a rate limit, and no quota: as OpenStack's services said it before there was 429
	}
	return slices.Contains([]int{http.StatusRequestTimeout, http.StatusConflict, 498, 499, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, status)
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
	if errors.As(err, &done) {
		return err
	}
	if statusOf(err) == 0 && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		// Time-outs of the transport say that they are DeadlineExceeded; no context of the caller's has ended.
		err = errors.New(err.Error())
	}
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: kind, Err: err}
}

// invalid is an error about an argument.
func invalid(op, key, format string, args ...any) error {
	return &drivers.Error{Op: op, Driver: name, Key: key, Kind: drivers.ErrInvalid, Err: fmt.Errorf(format, args...)}
}
