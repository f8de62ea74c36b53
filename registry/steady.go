package registry

import (
	"context"
	"errors"
	"io"

	"github.com/longshore-registry/longshore/drivers"
)

// mostBreaks is how often in a row a body may break off without a byte in between.
const mostBreaks = 5

// openSteady is Reader of d, for an object that is never replaced. When the body breaks off half way it goes on from there with
// another request: the client has its first half already, and for it there is no second try.
func openSteady(ctx context.Context, d drivers.Driver, key string, offset, length int64) (*steady, drivers.Info, error) {
	body, info, err := d.Reader(ctx, key, offset, length)
	if err != nil {
		return nil, info, err
	}
	end := info.Size
	if length >= 0 && length < info.Size-offset {
		end = offset + length
	}
	return &steady{ctx: ctx, d: d, key: key, etag: info.ETag, offset: offset, end: end, body: body}, info, nil
}

// steady is a body that goes on when it breaks off.
type steady struct {
	ctx         context.Context
	d           drivers.Driver
	key, etag   string
	offset, end int64 // in the object: of the next byte, and after the last
	body        io.ReadCloser
	breaks      int
}

// Read fails as the driver's body does once it has broken off too often, or as the request to go on does.
func (s *steady) Read(p []byte) (int, error) {
	for {
		n, err := s.body.Read(p)
		s.offset += int64(n)
		if n > 0 {
			s.breaks = 0
		}
		if err == nil || errors.Is(err, io.EOF) || s.ctx.Err() != nil || !errors.Is(err, drivers.ErrThrottled) || s.offset >= s.end {
			return n, err
		}
		if s.breaks++; s.breaks > mostBreaks {
			return n, err
		}
		if err := s.reopen(); err != nil || n > 0 {
			return n, err
		}
	}
}

func (s *steady) reopen() error {
	_ = s.body.Close() // it has failed
	body, info, err := s.d.Reader(s.ctx, s.key, s.offset, s.end-s.offset)
	if err != nil {
		s.body = failed{err}
		return err
	}
	if info.ETag != s.etag {
		_ = body.Close() // nothing of it is wanted
		s.body = failed{replaced(s.key)}
		return replaced(s.key)
	}
	s.body = body
	return nil
}

// Close ends the request under way.
func (s *steady) Close() error { return s.body.Close() }

// failed is the body of a request that failed.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }
func (f failed) Close() error             { return nil }
