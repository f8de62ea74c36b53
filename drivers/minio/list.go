package minio

import (
	"context"
	"iter"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/listing"
)

// List is one GET for each 1,000 entries that the caller takes.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	return listing.Lister{Driver: name, Prefix: d.prefix, Page: d.page, Fail: fail}.List(ctx, prefix, after, delimiter)
}

// page asks for one page. start counts only where token is "".
func (d *Driver) page(ctx context.Context, prefix, start, token, delimiter string) (listing.Page, error) {
	// A client costs some microseconds; Core.ListObjectsV2 takes no context.
	core, err := d.client(bound{ctx: ctx, next: d.options.Transport})
	if err != nil {
		return listing.Page{}, err
	}
	if token != "" {
		start = ""
	}
	var found minio.ListBucketV2Result
	_, err = d.try(ctx, func() (err error) {
		found, err = core.ListObjectsV2(d.bucket, prefix, start, token, delimiter, listing.PageSize)
		return err
	})
	page := listing.Page{More: found.IsTruncated, Next: found.NextContinuationToken}
	for _, o := range found.Contents {
		page.Entries = append(page.Entries, drivers.Entry{Key: o.Key, Info: infoOf(o)})
	}
	for _, p := range found.CommonPrefixes {
		page.Entries = append(page.Entries, drivers.Entry{Key: p.Prefix, IsPrefix: true})
	}
	return page, err
}
