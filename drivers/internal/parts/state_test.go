package parts

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
)

func sampleState() state {
	return state{
		sum: SumCRC32C, partSize: 8 << 20, upload: "an-upload", mark: "0123456789abcdef0123456789abcdef",
		parts: []Part{
			{Number: 2, Size: 8 << 20, ETag: "00000000000000000000000000000000", CRC: 1},
			{Number: 3, Size: 5 << 20, ETag: "not an MD5", CRC: 0xffffffff},
			{Number: 10_000, Size: 1, ETag: "ABCDEF00000000000000000000000000"},
		},
		tail: []byte("the tail"),
	}
}

func TestStateComesBack(t *testing.T) {
	object := objectID("bucket", "a/b")
	for name, want := range map[string]state{
		"full":     sampleState(),
		"no parts": {sum: SumNone, partSize: MinPart, upload: "u", marks: "v", tail: []byte("x")},
		"no tail":  {sum: SumSHA256, partSize: MaxPart, upload: "u", parts: sampleState().parts, tail: []byte{}},
	} {
		got, err := decodeState(want.encode(object), object)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestStateIsSmall(t *testing.T) {
	s := state{sum: SumCRC32C, partSize: 8 << 20, upload: strings.Repeat("u", 124), mark: sampleState().mark}
	for i := range 12 {
		s.parts = append(s.parts, Part{Number: i + 2, Size: 8 << 20, ETag: sampleState().mark, CRC: 1 << 30})
	}
	if n := len(s.encode(objectID("bucket", "a/b"))); n > 500 {
		t.Errorf("the state of 12 parts has %d bytes", n)
	}
}

func TestStateOfOthersIsRefused(t *testing.T) {
	object := objectID("bucket", "a/b")
	encoded := sampleState().encode(object)
	if _, err := decodeState(encoded, objectID("bucket", "a/c")); err == nil {
		t.Error("the state of another key was taken")
	}
	if _, err := decodeState(encoded, objectID("bucket2", "a/b")); err == nil {
		t.Error("the state of another bucket was taken")
	}
	for i := range encoded {
		damaged := bytes.Clone(encoded)
		damaged[i] ^= 0x40
		if _, err := decodeState(damaged, object); err == nil {
			t.Errorf("a state with another byte %d was taken", i)
		}
		if _, err := decodeState(encoded[:i], object); err == nil {
			t.Errorf("the first %d bytes of a state were taken", i)
		}
	}
}

// FuzzState: what is taken is written back the same. The check at the end is made right, or nothing
// would ever be taken.
func FuzzState(f *testing.F) {
	object := objectID("bucket", "a/b")
	head := 1 + len(object)
	sample := sampleState().encode(object)
	f.Add(sample[head : len(sample)-4])
	f.Fuzz(func(t *testing.T, rest []byte) {
		b := append(append([]byte{stateVersion}, object...), rest...)
		b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
		s, err := decodeState(b, object)
		if err != nil {
			return
		}
		if again := s.encode(object); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
