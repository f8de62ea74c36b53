package parts

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
)

// stateVersion is the first byte of every state.
const stateVersion = 1

// Part is one part of a multipart upload.
type Part struct {
	Number int
	Size   int64  // bytes
	ETag   string // without quotes; "" until the store has the part
	CRC    uint32 // CRC32C, where the upload's sum is that
}

// state is what a suspended Writer becomes. Its bytes are:
//
//	version            1 byte
//	object             8 bytes of the SHA-256 of bucket, "/" and the key in it
//	sum                1 byte
//	part size          uvarint
//	upload             its id: uvarint length, bytes
//	marks              the id of the upload that has the mark, likewise; "" if it is the same
//	mark               ETag of the mark, "" if there is none
//	parts              uvarint number of them; for each: uvarint distance of its number from the one
//	                   before, uvarint size, ETag, 4 bytes of CRC
//	tail               uvarint length, bytes
//	check              4 bytes, CRC32C of all before
//
// An ETag is a zero byte and 16 bytes where it is an MD5, as MinIO's are, else like the upload. Twelve
// parts take some 500 bytes.
type state struct {
	sum      Sum
	partSize int64
	upload   string
	marks    string
	mark     string
	parts    []Part
	tail     []byte
}

// objectID ties a state to one object.
func objectID(bucket, full string) []byte {
	h := sha256.Sum256([]byte(bucket + "/" + full))
	return h[:8]
}

func (s state) encode(object []byte) []byte {
	b := make([]byte, 0, 64+len(s.upload)+32*len(s.parts)+len(s.tail))
	b = append(b, stateVersion)
	b = append(b, object...)
	b = append(b, byte(s.sum))
	b = binary.AppendUvarint(b, uint64(s.partSize))
	b = appendString(b, s.upload)
	b = appendString(b, s.marks)
	b = appendETag(b, s.mark)
	b = binary.AppendUvarint(b, uint64(len(s.parts)))
	before := 0
	for _, p := range s.parts {
		b = binary.AppendUvarint(b, uint64(p.Number-before))
		b = binary.AppendUvarint(b, uint64(p.Size))
		b = appendETag(b, p.ETag)
		b = binary.BigEndian.AppendUint32(b, p.CRC)
		before = p.Number
	}
	b = binary.AppendUvarint(b, uint64(len(s.tail)))
	b = append(b, s.tail...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeState reads what encode wrote. The tail points into b.
func decodeState(b, object []byte) (state, error) {
	var s state
	if len(b) < 1+8+1+4 {
		return s, errors.New("the state is too short")
	}
	if b[0] != stateVersion {
		return s, fmt.Errorf("the state has version %d, not %d", b[0], stateVersion)
	}
	body, check := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != check {
		return s, errors.New("the state is damaged")
	}
	if string(body[1:9]) != string(object) {
		return s, errors.New("the state belongs to another object")
	}
	r := stateReader{left: body[10:]}
	s.sum = Sum(body[9])
	s.partSize = int64(r.number(MaxPart))
	s.upload = string(r.bytes(1024))
	s.marks = string(r.bytes(1024))
	s.mark = r.etag()
	count := r.number(MaxNumber)
	number := 0
	for range count {
		number += int(r.number(MaxNumber))
		p := Part{Number: number, Size: int64(r.number(MaxObject)), ETag: r.etag()}
		if c := r.take(4); c != nil {
			p.CRC = binary.BigEndian.Uint32(c)
		}
		if r.failed || number <= MarkNumber || number > MaxNumber {
			return state{}, errors.New("the state has a bad list of parts")
		}
		s.parts = append(s.parts, p)
	}
	s.tail = r.bytes(MaxPart)
	if r.failed || len(r.left) > 0 || s.sum > SumSHA256 || s.partSize < MinPart || s.upload == "" {
		return state{}, errors.New("the state is malformed")
	}
	return s, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendETag(b []byte, etag string) []byte {
	if md5 := rawETag(etag); md5 != nil {
		return append(append(b, 0), md5...)
	}
	// One more than the length, since 0 means an MD5.
	return append(binary.AppendUvarint(b, uint64(len(etag))+1), etag...)
}

// rawETag returns the MD5 that etag is the lower-case hex of, nil if it is none.
func rawETag(etag string) []byte {
	if len(etag) != 32 {
		return nil
	}
	md5, err := hex.DecodeString(etag)
	if err != nil || hex.EncodeToString(md5) != etag {
		return nil
	}
	return md5
}

// stateReader takes a state apart. After a failure all it returns is empty.
type stateReader struct {
	left   []byte
	failed bool
}

func (r *stateReader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.left)) {
		r.failed = true
		return nil
	}
	b := r.left[:n:n]
	r.left = r.left[n:]
	return b
}

// number reads a number that is at most most, in its shortest form.
func (r *stateReader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.left)
	if r.failed || n <= 0 || v > most || n > 1 && r.left[n-1] == 0 {
		r.failed = true
		return 0
	}
	r.left = r.left[n:]
	return v
}

func (r *stateReader) bytes(most uint64) []byte { return r.take(r.number(most)) }

func (r *stateReader) etag() string {
	switch n := r.number(1024); {
	case r.failed:
		return ""
	case n == 0:
		return hex.EncodeToString(r.take(16))
	default:
		etag := string(r.take(n - 1))
		if rawETag(etag) != nil {
			r.failed = true // encode would have written it the other way
		}
		return etag
	}
}
