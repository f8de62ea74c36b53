package bucket

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// said is an error that is an answer.
type said Answer

func (s said) Error() string { return s.Code }

// tested makes the errors of a driver whose store answers with said.
var tested = Errors{Driver: "test", Answer: func(err error) (Answer, bool) {
	var s said
	ok := errors.As(err, &s)
	return Answer(s), ok
}}

func TestTryPart(t *testing.T) {
	reset, late := syscall.ECONNRESET, os.ErrDeadlineExceeded
	gone, slow := said{"NoSuchUpload", 404}, said{"SlowDown", 503}
	for _, test := range []struct {
		name    string
		answers []error // to the request, one after the other
		look    error
		looks   int
		gone    bool
		want    error
	}{
		{name: "sent", answers: []error{nil}},
		{name: "sent again", answers: []error{reset, slow, nil}},
		{name: "gone", answers: []error{gone}, gone: true, want: gone},
		{name: "gone, and the answer is lost every time", answers: []error{reset, reset, reset}, look: gone, looks: 1, gone: true, want: gone},
		{name: "the connection breaks, and the upload is there", answers: []error{reset, reset, reset}, looks: 1, want: reset},
		{name: "out of reach", answers: []error{reset, reset, reset}, look: reset, looks: 1, want: reset},
		{name: "silent", answers: []error{late, late, late}, look: gone, want: late},
		{name: "busy", answers: []error{slow, slow, slow}, look: gone, want: slow},
	} {
		t.Run(test.name, func(t *testing.T) {
			tried, looks := 0, 0
			err := tested.TryPart(t.Context(), 3, func() error {
				tried++
				return test.answers[tried-1]
			}, func() error {
				looks++
				return tested.NoUpload(test.look)
			})
			if tried != len(test.answers) || looks != test.looks {
				t.Errorf("%d requests, %d looks, want %d, %d", tried, looks, len(test.answers), test.looks)
			}
			if !errors.Is(err, test.want) || errors.Is(err, ErrNoUpload) != test.gone {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTryComplete(t *testing.T) {
	busy, gone, slow := said{"InternalError", 500}, said{"NoSuchKey", 404}, said{"SlowDown", 503}
	for _, test := range []struct {
		name    string
		answers []error // to the request, one after the other
		look    error
		calls   int
		looks   int
		gone    bool
		fails   bool
	}{
		{name: "completed", answers: []error{nil}, calls: 1},
		{name: "busy for a while", answers: []error{busy, slow, nil}, calls: 3, looks: 1},
		{name: "completed by another, or by the request that failed", answers: []error{busy}, look: gone, calls: 2, looks: 1, gone: true, fails: true},
		{name: "gone at once", answers: []error{gone}, calls: 1, gone: true, fails: true},
		{name: "nothing can be seen", answers: []error{busy, nil}, look: said{"AccessDenied", 403}, calls: 2, looks: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			tried, looks := 0, 0
			calls, err := tested.TryComplete(t.Context(), 5, func(error) string { return "" }, func() error {
				tried++
				return test.answers[tried-1]
			}, func() error {
				looks++
				return tested.NoUpload(test.look)
			})
			if calls != test.calls || tried != len(test.answers) || looks != test.looks {
				t.Errorf("%d calls of %d requests, %d looks, want %d, %d, %d", calls, tried, looks, test.calls, len(test.answers), test.looks)
			}
			if (err != nil) != test.fails || errors.Is(err, ErrNoUpload) != test.gone {
				t.Errorf("got %v", err)
			}
		})
	}
}
