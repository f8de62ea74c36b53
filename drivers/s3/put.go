package s3

import (
	"context"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Put is one PUT.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	return d.shared.Put(ctx, key, body)
}

// PutIfAbsent is one PUT with If-None-Match: *. If the answer to it was lost, a HEAD tells whose object is there.
func (d *Driver) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return d.shared.PutIfAbsent(ctx, key, body)
}

// PutIfMatch is one PUT with If-Match. Lost answers are found out as in PutIfAbsent.
func (d *Driver) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	return d.shared.PutIfMatch(ctx, key, body, etag)
}

// putID is the metadata under which a conditional PUT knows its object again.
const putID = "put-id"

// Put is one PutObject.
func (s store) Put(ctx context.Context, full string, body []byte, c bucket.Condition) (calls int, err error) {
	in := &s3.PutObjectInput{Key: &full}
	if c.Absent {
		in.IfNoneMatch = aws.String("*")
	}
	if c.Match != "" {
		in.IfMatch = aws.String(c.Match)
		if s.d.c.quotes() {
			in.IfMatch = aws.String(`"` + c.Match + `"`)
		}
	}
	if c.PutID != "" {
		in.Metadata = map[string]string{putID: c.PutID}
	}
	return s.put(ctx, in, body)
}

// put sends body as the object in, and returns how often it was sent.
func (s store) put(ctx context.Context, in *s3.PutObjectInput, body []byte) (calls int, err error) {
	sums := s.d.streams.Sum.Of(body)
	in.Bucket, in.ContentLength = &s.d.c.Bucket, aws.Int64(int64(len(body)))
	in.ChecksumCRC32C, in.ContentMD5 = optional(sums.CRC32C), optional(sums.MD5)
	return s.d.tryWrite(ctx, func() error {
		lent := wire.Lend(body)
		defer lent.TakeBack()
		in.Body = stream(lent, body)
		_, err := s.d.client.PutObject(ctx, in, signed(sums))
		return err
	})
}

// stream is r, or nil where body is empty: the SDK would send a body of unknown length.
func stream(r io.Reader, body []byte) io.Reader {
	if len(body) == 0 {
		return nil
	}
	return r
}

// optional is nil for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
