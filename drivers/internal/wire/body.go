package wire

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync"
)

// Lent is a body that can be taken back. net/http may read a request's body for a while after the answer
// is there or the context has ended (see http.RoundTripper); by then the bytes may be another's.
type Lent struct {
	mu   sync.Mutex
	left []byte
	gone bool
}

// Lend returns a reader of body.
func Lend(body []byte) *Lent { return &Lent{left: body} }

// Read fails once the body was taken back.
func (l *Lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return 0, errors.New("the request is over")
	}
	if len(l.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.left)
	l.left = l.left[n:]
	return n, nil
}

// TakeBack returns when nothing reads the body any more.
func (l *Lent) TakeBack() {
	l.mu.Lock()
	l.gone, l.left = true, nil
	l.mu.Unlock()
}

// RangeTotal returns the size of the whole object from the answer to a request for bytes from offset, which has length of them.
func RangeTotal(contentRange string, offset, length int64) (int64, error) {
	rest, found := strings.CutPrefix(contentRange, fmt.Sprintf("bytes %d-%d/", offset, offset+length-1))
	number, err := strconv.ParseUint(rest, 10, 63) // which knows no sign
	total := int64(number)
	if !found || err != nil || total < offset+length {
		return 0, fmt.Errorf("asked for bytes from %d, the answer has %d bytes and the Content-Range %q", offset, length, contentRange)
	}
	return total, nil
}

// RangeHeader is the header for length bytes from offset (length < 0: to the end), "" for all.
func RangeHeader(offset, length int64) string {
	switch {
	case length > 0 && offset <= math.MaxInt64-length:
		return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
	case offset > 0:
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return ""
}

// Body is an object's bytes on their way.
type Body struct {
	io.ReadCloser
	Left int64                 // bytes that have to come
	Fail func(err error) error // makes an error what the driver returns
}

// Read ends with io.EOF only after the last byte.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.Left -= int64(n)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF) && b.Left == 0:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, b.Fail(err)
}
