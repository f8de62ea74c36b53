package glance

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"
)

// FuzzState: what is taken is written back the same. The check at the beginning is made right, or nothing would ever be taken.
func FuzzState(f *testing.F) {
	sample := state{Store: "s", Key: "a/b", Stream: "0f", Token: "t", Parts: []part{{ID: "00000000-0000-4000-8000-000000000000", Size: 1}}}.encode()
	f.Add(sample[4:])
	for _, text := range []string{"", "null", "{}", `{"stream":"x"}`, `{"store":"s","key":"a/b","stream":"0f","token":"t","parts":[{"id":"../../v3/users","size":1}]}`, `{"store":"s","key":"a/b","stream":"0f","token":"t","parts":[{"id":"0","size":-1}]}`, `{"Store":"s"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b := append(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(text)), text...)
		s, err := decodeState(b)
		if err != nil {
			return
		}
		if again := s.encode(); !bytes.Equal(again, b) {
			t.Errorf("%q became %q", b, again)
		}
		for _, p := range s.Parts {
			if p.Size < 0 || bytes.ContainsAny([]byte(p.ID), "/.?%") || p.ID == "" {
				t.Errorf("%q has the part %+v", text, p)
			}
		}
		b[len(b)-1] ^= 1
		if _, err := decodeState(b); err == nil {
			t.Errorf("%q was taken though it is damaged", b)
		}
	})
}
