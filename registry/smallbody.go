package registry

import (
	"io"
	"iter"
	"math/bits"
	"sync"
)

// page is a piece of memory that uploads use in turn.
type page [256 << 10]byte

// smallBody is as much of a request's body as is held in memory, within the registry's bound.
type smallBody struct {
	owner *Registry
	hash  io.Writer // gets each byte when it is read, while it is in the processor's cache
	size  int64     // bytes read
	known []byte    // a body of known length; else
	pages []*page   // these, the last one filled in part
	taken int64     // bytes of the registry's bound
}

// pieces are pieces of memory, for bodies of known length, that uploads use in turn: one pool for each power of two. A large
// piece that is made anew costs its clearing, and a collection of garbage sooner.
type pieces [23]sync.Pool // of *[]byte

// leastPiece is the length in bytes from which on pieces are worth keeping.
const leastPiece = 32 << 10

// pieceSize is how many bytes are held for a body of length bytes, at most smallUpload: one more than it has, to see the
// end.
func pieceSize(length int64) int64 {
	if length < leastPiece {
		return length + 1
	}
	return 1<<bits.Len64(uint64(length-1)) + 1
}

// get returns length bytes and one, of pieceSize(length).
func (p *pieces) get(length int64) []byte {
	size := pieceSize(length)
	if length >= leastPiece {
		if b, ok := p.pool(size).Get().(*[]byte); ok {
			return (*b)[:length+1]
		}
	}
	return make([]byte, length+1, size)
}

func (p *pieces) put(b []byte) {
	if cap(b) > leastPiece {
		p.pool(int64(cap(b))).Put(&b)
	}
}

func (p *pieces) pool(size int64) *sync.Pool { return &p[bits.TrailingZeros64(uint64(size-1))] }

// readFrom reads until the body ends, or is longer than may be held, and says which. An error is the body's;
// what came before it is held.
func (s *smallBody) readFrom(body io.Reader, length int64) (ended bool, err error) {
	if length > smallUpload || length >= 0 && !s.take(pieceSize(length)) {
		return false, nil
	}
	if length >= 0 {
		s.known = s.owner.pieces.get(length)
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
		s.hash.Write(space[:n])
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
	s.owner.pieces.put(s.known)
	s.owner.uploadMemory.Release(s.taken)
	*s = smallBody{owner: s.owner, hash: s.hash}
}
