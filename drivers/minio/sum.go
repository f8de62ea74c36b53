package minio

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// sum is how the store checks the bytes that it receives. The values are part of states: they stay.
type sum byte

const (
	sumNone   sum = 0 // TCP's and TLS's own
	sumCRC32C sum = 1 // the default; Ceph 16 ignores it
	sumMD5    sum = 2 // Content-MD5, which all S3 servers check
	sumSHA256 sum = 3 // in the signature: also protects against changes by others on a plain line
)

var sumNames = map[string]sum{"none": sumNone, "crc32c": sumCRC32C, "md5": sumMD5, "sha256": sumSHA256}

func parseSum(text string) (sum, error) {
	s, ok := sumNames[text]
	if !ok {
		return 0, fmt.Errorf("%q is none of crc32c, md5, sha256, none", text)
	}
	return s, nil
}

// Header names of S3's checksums, as CreateMultipartUpload, UploadPart and PutObject have them.
const (
	headerAlgorithm = "x-amz-checksum-algorithm"
	headerCRC32C    = "x-amz-checksum-crc32c"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sums are the values of one body; those that are not wanted are "" and 0.
type sums struct {
	crc    uint32
	header map[string]string
	md5    string
	sha256 string
}

func (s sum) of(body []byte) sums {
	switch s {
	case sumCRC32C:
		crc := crc32.Checksum(body, castagnoli)
		return sums{crc: crc, header: map[string]string{headerCRC32C: encodeCRC(crc)}}
	case sumMD5:
		h := md5.Sum(body)
		return sums{md5: base64.StdEncoding.EncodeToString(h[:])}
	case sumSHA256:
		h := sha256.Sum256(body)
		return sums{sha256: hex.EncodeToString(h[:])}
	}
	return sums{}
}

// encodeCRC is S3's text form of a CRC.
func encodeCRC(crc uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}

// begin is what CreateMultipartUpload has to know for parts that are checked by s. AWS refuses
// parts with another checksum than was announced.
func (s sum) begin() map[string]string {
	if s == sumCRC32C {
		return map[string]string{headerAlgorithm: "CRC32C"}
	}
	return nil
}

// complete is one part for CompleteMultipartUpload, which wants the checksums again.
func (s sum) complete(p part) minio.CompletePart {
	c := minio.CompletePart{PartNumber: p.number, ETag: p.etag}
	if s == sumCRC32C {
		c.ChecksumCRC32C = encodeCRC(p.crc)
	}
	return c
}

func (s sums) httpHeader() http.Header {
	h := make(http.Header, len(s.header))
	for k, v := range s.header {
		h.Set(k, v)
	}
	return h
}
