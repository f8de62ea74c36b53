package api

import (
	"io"
	"net/http"
	"time"
)

// body is a request's body that may take any time but has to make progress: each read has a deadline of its own.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	set     time.Time
}

// bodyError is why a body could not be read to its end.
type bodyError struct{ error }

func (e bodyError) Unwrap() error { return e.error }

func newBody(w http.ResponseWriter, r *http.Request, idle time.Duration) io.ReadCloser {
	b := &body{ReadCloser: r.Body, control: http.NewResponseController(w), idle: idle}
	if r.ContentLength != 0 {
		// net/http reads on before it answers a request whose body was left alone. It may do so for half the time,
		// so that what the answer has is not over by then.
		b.control.SetReadDeadline(time.Now().Add(idle / 2))
	}
	return b
}

// extend moves the deadline. That costs something; an eighth of it is near enough.
func (b *body) extend() {
	if now := time.Now(); now.Sub(b.set) > b.idle/8 {
		b.set = now
		b.control.SetReadDeadline(now.Add(b.idle))
	}
}

func (b *body) Read(p []byte) (int, error) {
	b.extend()
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == io.EOF:
		// net/http goes on reading from the connection, to see whether the client leaves.
		b.control.SetReadDeadline(time.Time{})
		b.set = time.Time{}
	case err != nil:
		err = bodyError{err}
	}
	return n, err
}

// response notes what was answered, and gives each piece of an answer a deadline of its own.
type response struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
	set     time.Time
	status  int
	written int64
	user    string // to whom, for the log; "" if that is not known
}

func newResponse(w http.ResponseWriter, idle time.Duration) *response {
	return &response{ResponseWriter: w, control: http.NewResponseController(w), idle: idle}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.extend()
	w.ResponseWriter.WriteHeader(status)
}

// extend moves the deadline. Every answer needs one, the shortest too; net/http takes it away after the request.
func (w *response) extend() {
	if now := time.Now(); now.Sub(w.set) > w.idle/8 {
		w.set = now
		w.control.SetWriteDeadline(now.Add(w.idle))
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
}

func (w *response) Write(p []byte) (int, error) {
	w.extend()
	n, err := w.ResponseWriter.Write(p)
	w.written += int64(n)
	return n, err
}

// piece is how many bytes of a file go out under one deadline: with an idle timeout of a minute a client may be as slow as
// 4 KiB/s.
const piece = 256 << 10

// ReadFrom passes a file on in the form for which net/http uses sendfile: an io.LimitedReader right over it.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	from, ok := w.ResponseWriter.(io.ReaderFrom)
	limited, isLimited := src.(*io.LimitedReader)
	if !ok || !isLimited {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	var total int64
	for limited.N > 0 {
		w.extend()
		now := io.LimitedReader{R: limited.R, N: min(piece, limited.N)}
		want := now.N
		n, err := from.ReadFrom(&now)
		limited.N -= n
		total += n
		w.written += n
		if err != nil || n < want {
			return total, err
		}
	}
	return total, nil
}
