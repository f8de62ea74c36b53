package s3

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Delete is one DELETE for one key, else one POST for each 1,000; or one DELETE for each key, some of them at
// once, where batch_delete is false.
func (d *Driver) Delete(ctx context.Context, keys ...string) error {
	return d.shared.Delete(ctx, keys...)
}

// Delete is one DeleteObject.
func (s store) Delete(ctx context.Context, full string) error {
	_, err := s.d.try(ctx, func() error {
		_, err := s.d.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.d.c.Bucket, Key: &full})
		return err
	})
	return err
}

// DeleteMany is one DeleteObjects.
func (s store) DeleteMany(ctx context.Context, full []string) (left map[string]error, err error) {
	asked := make([]types.ObjectIdentifier, len(full))
	for i := range full {
		asked[i].Key = &full[i]
	}
	out, err := s.d.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{
		Bucket: &s.d.c.Bucket, Delete: &types.Delete{Objects: asked, Quiet: aws.Bool(true)},
	})
	if err != nil {
		return nil, err
	}
	left = make(map[string]error, len(out.Errors))
	for _, e := range out.Errors {
		left[aws.ToString(e.Key)] = &refusal{answer{code: aws.ToString(e.Code)}, aws.ToString(e.Message)}
	}
	return left, nil
}

// refusal is what the answer to a DeleteObjects says of one key.
type refusal struct {
	answer  answer
	message string
}

// Error is the code and the message.
func (r *refusal) Error() string { return fmt.Sprintf("%s: %s", r.answer.code, r.message) }
