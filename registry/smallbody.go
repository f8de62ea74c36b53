package registry

import (
	"io"
	"iter"
)

// page is a piece of memory that uploads use in turn.
type page [256 << 10]byte

// smallBody is as much of a request's body as is held in memory, within the registry's bound.
type smallBody struct {
	owner *Registry
	size  int64   // bytes read
	known []byte  // a body of known length; else
	pages []*page // these, the last one filled in part
	taken int64   // bytes of the registry's bound
}

// readFrom reads until the body ends, or is longer than may be held, and says which. An error is the body's;
// what came before it is held.
func (s *smallBody) readFrom(body io.Reader, length int64) (ended bool, err error) {
	if length > smallUpload || length >= 0 && !s.take(length+1) {
		return false, nil
	}
	if length >= 0 {
		s.known = make([]byte, length+1) // one more to see the end
	}
	for s.size <= smallUpload {
		space := s.known[min(s.size, int64(len(s.known))):]
		if s.known == nil {
			if s.size == int64(len(s.pages)*len(page{})) {
				if !s.take(int64(len(page{}))) {
					return false, nil
				}
				s.pages = append(s.pages, s.owner.buffers.Get().(*page))
			}
			space = s.pages[len(s.pages)-1][s.size%int64(len(page{})):]
		}
		if len(space) == 0 {
			return false, nil
		}
		n, err := body.Read(space)
		s.size += int64(n)
		if err == io.EOF {
			return true, nil
		} else if err != nil {
			return true, err
		}
	}
	return false, nil
}

func (s *smallBody) take(n int64) bool {
	if !s.owner.uploadMemory.TryAcquire(n) {
		return false
	}
	s.taken += n
	return true
}

// all yields what is held, piece by piece.
func (s *smallBody) all() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if s.known != nil {
			yield(s.known[:s.size])
			return
		}
		for i, p := range s.pages {
			if !yield(p[:min(s.size-int64(i*len(p)), int64(len(p)))]) {
				return
			}
		}
	}
}

// bytes is what is held in one piece, not to be used after release.
func (s *smallBody) bytes() []byte {
	if s.known != nil || len(s.pages) == 1 {
		for one := range s.all() {
			return one
		}
	}
	b := make([]byte, 0, s.size)
	for one := range s.all() {
		b = append(b, one...)
	}
	return b
}

func (s *smallBody) writeTo(w io.Writer) error {
	for one := range s.all() {
		if _, err := w.Write(one); err != nil {
			return err
		}
	}
	return nil
}

// release gives the memory back. It may be called again.
func (s *smallBody) release() {
	for _, p := range s.pages {
		s.owner.buffers.Put(p)
	}
	s.owner.uploadMemory.Release(s.taken)
	*s = smallBody{owner: s.owner}
}
