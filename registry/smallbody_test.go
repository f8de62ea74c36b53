package registry

import "testing"

func TestPieces(t *testing.T) {
	var p pieces
	for _, length := range []int64{0, 1, leastPiece - 1, leastPiece, leastPiece + 1, 1 << 20, 1<<20 + 1, smallUpload - 1, smallUpload} {
		for range 2 { // the second may be the first one again
			b := p.get(length)
			if int64(len(b)) != length+1 || int64(cap(b)) != pieceSize(length) {
				t.Errorf("for %d: got %d of %d bytes, want %d of %d", length, len(b), cap(b), length+1, pieceSize(length))
			}
			if pieceSize(length) > 2*length+1 {
				t.Errorf("%d bytes are held for %d", pieceSize(length), length)
			}
			p.put(b[:0])
		}
	}
	p.put(nil)
}
