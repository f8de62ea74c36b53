package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/longshore-registry/longshore/registry"
)

// storeWork tells of long work on a store, a collection for example: each thing that is done, how far it is, and the report at the end.
type storeWork struct {
	out        io.Writer
	json, each bool
	progress   *progress
	last       time.Time
}

// line writes a line of JSON: one object with the fields of all these.
func (o *storeWork) line(objects ...any) {
	var fields [][]byte
	for _, v := range objects {
		b, err := json.Marshal(v)
		if err != nil {
			b = fmt.Appendf(nil, `{"error":%q}`, err.Error())
		}
		if b = bytes.TrimSuffix(bytes.TrimPrefix(b, []byte("{")), []byte("}")); len(b) > 0 {
			fields = append(fields, b)
		}
	}
	fmt.Fprintf(o.out, "{%s}\n", bytes.Join(fields, []byte(",")))
}

// problem is an object for line.
func problem(err error) any {
	var o struct {
		Error string `json:"error,omitempty"`
	}
	if err != nil {
		o.Error = err.Error()
	}
	return o
}

// thing tells of one thing that is done, as a line of JSON or as text; not says what it is not, where err is why. What went well is told only
// if each thing is.
func (o *storeWork) thing(v any, err error, text, not string) {
	switch {
	case !o.each && err == nil:
	case o.json:
		o.line(v, problem(err))
	default:
		o.progress.clear()
		if err != nil {
			text += fmt.Sprintf("\n%-12s → %s: %v", "", not, err)
		}
		fmt.Fprintln(o.out, text)
	}
}

// reported ends the progress. If a report is wanted as JSON it writes it and returns true.
func (o *storeWork) reported(report any, took time.Duration, err error) bool {
	o.progress.clear()
	if o.json {
		o.line(report, struct {
			Took string `json:"took"`
		}{took.Round(time.Millisecond).String()}, problem(err))
	}
	return o.json
}

// at shows how far it is. Where nobody watches there is a line now and then.
func (o *storeWork) at(text string) {
	if o.progress.terminal {
		o.progress.doing(text)
		return
	}
	const each = 10 * time.Second
	if now := time.Now(); now.Sub(o.last) >= each {
		o.last = now
		o.progress.line("%s", text)
	}
}

// storeWorkError is what a command says of an error of work on a store. sole says what to do where the store can't keep two collectors apart.
func storeWorkError(ctx context.Context, err error, failed int, sole string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, registry.ErrCollecting):
		return adviceError{err, "wait until it has ended, or a minute and a half if it was killed"}
	case ctx.Err() != nil:
		return adviceError{errors.New("interrupted"), "run it again for the rest"}
	case errors.Is(err, registry.ErrSole):
		return adviceError{err, sole}
	case errors.Is(err, registry.ErrRefused):
		return adviceError{fmt.Errorf("%s: %w", plural(failed, "failure"), err), fixFor(err, "look at the reasons above, and run it again")}
	}
	return adviceError{err, fixFor(err, "run longshore check with the same configuration, which tests the store step by step")}
}
