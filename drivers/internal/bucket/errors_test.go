package bucket

import (
	"errors"
	"testing"
)

// said is an error that is an answer.
type said Answer

func (s said) Error() string { return s.Code }

func TestTryComplete(t *testing.T) {
	e := Errors{Driver: "test", Answer: func(err error) (Answer, bool) {
		var s said
		ok := errors.As(err, &s)
		return Answer(s), ok
	}}
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
			calls, err := e.TryComplete(t.Context(), 5, func(error) string { return "" }, func() error {
				tried++
				return test.answers[tried-1]
			}, func() error {
				looks++
				return e.NoUpload(test.look)
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
