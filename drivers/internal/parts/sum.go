package parts

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
)

// Sum is how the store checks the bytes that it receives. The values are part of states: they stay.
type Sum byte

const (
	SumNone   Sum = 0 // TCP's and TLS's own
	SumCRC32C Sum = 1 // the default; Ceph 16 ignores it
	SumMD5    Sum = 2 // Content-MD5, which all S3 servers check
	SumSHA256 Sum = 3 // in the signature: also protects against changes by others on a plain line
)

var sumNames = map[string]Sum{"none": SumNone, "crc32c": SumCRC32C, "md5": SumMD5, "sha256": SumSHA256}

// ParseSum is the Sum of a name: crc32c, md5, sha256, or none.
func ParseSum(text string) (Sum, error) {
	s, ok := sumNames[text]
	if !ok {
		return 0, fmt.Errorf("%q is none of crc32c, md5, sha256, none", text)
	}
	return s, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sums are the values for one body in the forms of S3's headers; those that are not wanted are "" and 0.
type Sums struct {
	CRC    uint32
	CRC32C string // base64
	MD5    string // base64
	SHA256 string // hex
}

// Of computes what s wants of body.
func (s Sum) Of(body []byte) Sums {
	switch s {
	case SumCRC32C:
		crc := crc32.Checksum(body, castagnoli)
		return Sums{CRC: crc, CRC32C: EncodeCRC(crc)}
	case SumMD5:
		h := md5.Sum(body)
		return Sums{MD5: base64.StdEncoding.EncodeToString(h[:])}
	case SumSHA256:
		h := sha256.Sum256(body)
		return Sums{SHA256: hex.EncodeToString(h[:])}
	}
	return Sums{}
}

// EncodeCRC is S3's text form of a CRC.
func EncodeCRC(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}
