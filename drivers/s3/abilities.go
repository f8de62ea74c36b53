package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// Abilities tries requests that stores with the S3 API differ in. Each is sent once.
func (d *Driver) Abilities(ctx context.Context, key string) []drivers.Ability {
	full := d.prefix + key + "abilities"
	defer d.removeAll(ctx, full, full+"-copy")
	if _, err := (store{d}).put(ctx, &s3.PutObjectInput{Key: &full}, []byte("first")); err != nil {
		return []drivers.Ability{{Name: "objects", State: "no", Detail: err.Error()}}
	}
	return []drivers.Ability{
		d.conditionalMultipart(ctx, full),
		d.repeatedComplete(ctx, full),
		d.smallPart(ctx, full),
		d.copy(ctx, full),
		d.conditionalDelete(ctx, full),
		d.trailers(ctx, full),
	}
}

func (d *Driver) removeAll(ctx context.Context, names ...string) {
	for _, full := range names {
		_, _ = d.client.DeleteObject(context.WithoutCancel(ctx), &s3.DeleteObjectInput{Bucket: &d.c.Bucket, Key: &full}) // what is left the report's owner removes
	}
}

// upload begins a multipart upload with parts of these sizes.
func (d *Driver) upload(ctx context.Context, full string, sizes ...int) (id string, list []types.CompletedPart, err error) {
	s := store{d}
	if id, err = s.Begin(ctx, full, parts.SumNone); err != nil {
		return "", nil, err
	}
	for i, size := range sizes {
		etag, err := s.SendPart(ctx, full, id, i+1, bytes.Repeat([]byte("x"), size), parts.Sums{})
		if err != nil {
			return id, nil, err
		}
		list = append(list, types.CompletedPart{PartNumber: aws.Int32(int32(i + 1)), ETag: &etag})
	}
	return id, list, nil
}

func (d *Driver) complete(ctx context.Context, full, id string, list []types.CompletedPart, change func(*s3.CompleteMultipartUploadInput)) error {
	in := &s3.CompleteMultipartUploadInput{Bucket: &d.c.Bucket, Key: &full, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: list}}
	if change != nil {
		change(in)
	}
	_, err := d.client.CompleteMultipartUpload(ctx, in)
	return err
}

func (d *Driver) conditionalMultipart(ctx context.Context, full string) drivers.Ability {
	a := drivers.Ability{Name: "conditional multipart"}
	id, list, err := d.upload(ctx, full, 10)
	if err == nil {
		err = d.complete(ctx, full, id, list, func(in *s3.CompleteMultipartUploadInput) { in.IfNoneMatch = aws.String("*") })
	}
	switch got, _ := answerOf(err); {
	case err == nil:
		a.State, a.Detail = "ignored", "CompleteMultipartUpload with If-None-Match: * replaced an object"
	case got.status == http.StatusPreconditionFailed:
		a.State = "yes"
		_ = store{d}.Abort(ctx, full, id) // it may be gone
	default:
		a.State, a.Detail = "no", err.Error()
		_ = store{d}.Abort(ctx, full, id)
	}
	return a
}

func (d *Driver) repeatedComplete(ctx context.Context, full string) drivers.Ability {
	a := drivers.Ability{Name: "repeated complete"}
	id, list, err := d.upload(ctx, full, 10)
	if err == nil {
		err = d.complete(ctx, full, id, list, nil)
	}
	if err != nil {
		a.State, a.Detail = "unknown", err.Error()
		return a
	}
	if err := d.complete(ctx, full, id, list, nil); err != nil {
		a.State, a.Detail = "no", fmt.Sprintf("a second CompleteMultipartUpload: %s", codeOf(err))
		return a
	}
	a.State = "yes"
	return a
}

func (d *Driver) smallPart(ctx context.Context, full string) drivers.Ability {
	a := drivers.Ability{Name: "parts below 5 MiB"}
	id, list, err := d.upload(ctx, full, 1<<20, 10)
	if err == nil {
		err = d.complete(ctx, full, id, list, nil)
	}
	if err != nil {
		a.State, a.Detail = "no", codeOf(err)
		_ = store{d}.Abort(ctx, full, id) // it may be gone
		return a
	}
	a.State = "yes"
	return a
}

func (d *Driver) copy(ctx context.Context, full string) drivers.Ability {
	a := drivers.Ability{Name: "server-side copy"}
	_, err := d.client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: &d.c.Bucket, Key: aws.String(full + "-copy"), CopySource: aws.String(url.PathEscape(d.c.Bucket + "/" + full))})
	if err != nil {
		a.State, a.Detail = "no", err.Error()
		return a
	}
	a.State = "yes"
	return a
}

func (d *Driver) conditionalDelete(ctx context.Context, full string) drivers.Ability {
	a := drivers.Ability{Name: "conditional delete"}
	_, err := d.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &d.c.Bucket, Key: &full, IfMatch: aws.String(`"00000000000000000000000000000000"`)})
	switch got, _ := answerOf(err); {
	case err == nil:
		a.State, a.Detail = "ignored", "DeleteObject with another If-Match removed the object"
	case got.status == http.StatusPreconditionFailed:
		a.State = "yes"
	default:
		a.State, a.Detail = "no", err.Error()
	}
	return a
}

// trailers sends a body as the SDK does by itself over TLS: in chunks, with its CRC32 behind it.
func (d *Driver) trailers(ctx context.Context, full string) drivers.Ability {
	a := drivers.Ability{Name: "checksum trailers"}
	if !strings.HasPrefix(d.host(), "https://") && d.c.Endpoint != "" {
		a.State, a.Detail = "unknown", "the SDK sends them over TLS alone"
		return a
	}
	body := strings.Repeat("0123456789", 1000)
	_, err := d.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &d.c.Bucket, Key: &full, Body: strings.NewReader(body), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32},
		func(o *s3.Options) { o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported },
		s3.WithAPIOptions(v4.AddContentSHA256HeaderMiddleware))
	if err != nil {
		a.State, a.Detail = "no", err.Error()
		return a
	}
	out, err := d.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &d.c.Bucket, Key: &full})
	if err != nil {
		a.State, a.Detail = "unknown", err.Error()
		return a
	}
	got, err := io.ReadAll(out.Body)
	_ = out.Body.Close() // it was read, or the error tells
	if err != nil || string(got) != body {
		a.State, a.Detail = "no", "the object holds something else than was sent"
		return a
	}
	a.State = "yes"
	return a
}

var _ drivers.Able = (*Driver)(nil)
