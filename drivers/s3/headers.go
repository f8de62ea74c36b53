package s3

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"slices"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/longshore-registry/longshore/drivers/internal/bucket"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// Names of the SDK's operations.
const (
	opPut      = "PutObject"
	opCreate   = "CreateMultipartUpload"
	opPart     = "UploadPart"
	opComplete = "CompleteMultipartUpload"
	opParts    = "ListParts"
	opGet      = "GetObject"
	opHead     = "HeadObject"
)

// addHeaders puts what the configuration wants of every request into it, before it is signed. One place for
// all operations: a header that one of them lacks makes a bucket with a strict policy refuse it.
func (d *Driver) addHeaders(stack *middleware.Stack) error {
	if d.c.UserAgent != "" {
		if err := awsmiddleware.AddUserAgentKey(d.c.UserAgent)(stack); err != nil {
			return err
		}
	}
	return stack.Build.Add(middleware.BuildMiddlewareFunc("LongshoreHeaders", func(
		ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler,
	) (middleware.BuildOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok {
			for k, v := range d.headers(awsmiddleware.GetOperationName(ctx)) {
				r.Header.Set(k, v)
			}
		}
		return next.HandleBuild(ctx, in)
	}), middleware.After)
}

// headers are those for one operation.
func (d *Driver) headers(operation string) map[string]string {
	h := make(map[string]string)
	creates := operation == opPut || operation == opCreate
	if creates && d.c.ACL != "" {
		h["x-amz-acl"] = d.c.ACL
	}
	switch d.c.Encryption {
	case bucket.EncryptS3:
		if creates {
			h["x-amz-server-side-encryption"] = "AES256"
		}
	case bucket.EncryptKMS:
		if !creates {
			break
		}
		h["x-amz-server-side-encryption"] = "aws:kms"
		if d.c.KMSKey != "" {
			h["x-amz-server-side-encryption-aws-kms-key-id"] = d.c.KMSKey
		}
		if d.c.BucketKey {
			h["x-amz-server-side-encryption-bucket-key-enabled"] = "true"
		}
	case bucket.EncryptCustomer:
		// https://docs.aws.amazon.com/AmazonS3/latest/userguide/specifying-s3-c-encryption.html
		if !creates && !slices.Contains([]string{opPart, opComplete, opParts, opGet, opHead}, operation) {
			break
		}
		key, _ := bucket.CustomerKey(d.c.CustomerKey) // Validate has seen that it is good
		sum := md5.Sum(key)
		h["x-amz-server-side-encryption-customer-algorithm"] = "AES256"
		h["x-amz-server-side-encryption-customer-key"] = string(d.c.CustomerKey)
		h["x-amz-server-side-encryption-customer-key-md5"] = base64.StdEncoding.EncodeToString(sum[:])
	}
	return h
}

// unsigned is what stands in the signature for a body that is not signed.
const unsigned = "UNSIGNED-PAYLOAD"

// signed makes a request's signature cover the SHA-256 in sums, or no body if there is none. The SDK would
// read the body once more for it.
func signed(sums parts.Sums) func(*s3.Options) {
	hash := sums.SHA256
	if hash == "" {
		hash = unsigned
	}
	return s3.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("LongshorePayloadHash", func(
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			return next.HandleFinalize(v4.SetPayloadHash(ctx, hash), in)
		}), (&v4.ComputePayloadSHA256{}).ID(), middleware.Before)
	})
}
