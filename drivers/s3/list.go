package s3

import (
	"context"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/listing"
)

// List is one GET for each 1,000 entries that the caller takes.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	page := d.page
	if d.c.ListVersion == "v1" {
		page = d.pageV1
	}
	return listing.Lister{Driver: name, Prefix: d.prefix, Page: page, Fail: fail}.List(ctx, prefix, after, delimiter)
}

// page asks for one page. start counts only where token is "".
func (d *Driver) page(ctx context.Context, prefix, start, token, delimiter string) (listing.Page, error) {
	in := &s3.ListObjectsV2Input{
		Bucket: &d.c.Bucket, Prefix: optional(prefix), Delimiter: optional(delimiter), MaxKeys: aws.Int32(int32(listing.Ask(ctx, token))),
		ContinuationToken: optional(token),
	}
	if token == "" {
		in.StartAfter = optional(start)
	}
	var out *s3.ListObjectsV2Output
	_, err := d.try(ctx, func() (err error) {
		out, err = d.client.ListObjectsV2(ctx, in)
		return err
	})
	if err != nil {
		return listing.Page{}, err
	}
	return listing.Page{
		Entries: entriesOf(out.Contents, out.CommonPrefixes), More: aws.ToBool(out.IsTruncated), Next: aws.ToString(out.NextContinuationToken),
	}, nil
}

// pageV1 is page in the older version of the API, where a page goes on after a name. That name is told only where there is
// a delimiter; else it is that of the last entry.
func (d *Driver) pageV1(ctx context.Context, prefix, start, token, delimiter string) (listing.Page, error) {
	if token != "" {
		start = token
	}
	in := &s3.ListObjectsInput{
		Bucket: &d.c.Bucket, Prefix: optional(prefix), Delimiter: optional(delimiter), MaxKeys: aws.Int32(int32(listing.Ask(ctx, token))), Marker: optional(start),
	}
	var out *s3.ListObjectsOutput
	_, err := d.try(ctx, func() (err error) {
		out, err = d.client.ListObjects(ctx, in)
		return err
	})
	if err != nil {
		return listing.Page{}, err
	}
	page := listing.Page{
		Entries: entriesOf(out.Contents, out.CommonPrefixes), More: aws.ToBool(out.IsTruncated), Next: aws.ToString(out.NextMarker),
	}
	return page.FromLast(), nil
}

// entriesOf puts the objects and folders of one answer into one list.
func entriesOf(objects []types.Object, folders []types.CommonPrefix) []drivers.Entry {
	all := make([]drivers.Entry, 0, len(objects)+len(folders))
	for _, o := range objects {
		all = append(all, drivers.Entry{Key: aws.ToString(o.Key), Info: objectOf(o.Size, o.ETag, o.LastModified).Info()})
	}
	for _, f := range folders {
		all = append(all, drivers.Entry{Key: aws.ToString(f.Prefix), IsPrefix: true})
	}
	return all
}
