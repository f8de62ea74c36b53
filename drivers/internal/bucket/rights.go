package bucket

import "fmt"

// rightsFor are the actions of an S3 policy that a method of a driver needs, for messages; docs/s3.md has them all.
func rightsFor(op string) string {
	switch op {
	case "reader", "stat":
		return "s3:GetObject, and s3:ListBucket to tell what is absent"
	case "list":
		return "s3:ListBucket"
	case "put", "putifabsent", "putifmatch", "write":
		return "s3:PutObject"
	case "suspend", "commit":
		return "s3:PutObject and, for an upload in several requests, s3:ListMultipartUploadParts"
	case "delete":
		return "s3:DeleteObject"
	case "cancel", "drop":
		return "s3:AbortMultipartUpload and s3:ListMultipartUploadParts"
	case "leftovers":
		return "s3:ListBucketMultipartUploads and s3:ListMultipartUploadParts"
	}
	return ""
}

// withRights adds to a refusal which rights op needs.
func withRights(op string, refusal error) error {
	rights := rightsFor(op)
	if rights == "" {
		return refusal
	}
	return fmt.Errorf("%w (this needs %s)", refusal, rights)
}
