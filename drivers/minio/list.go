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
	page := d.page
	if d.c.ListVersion == "v1" {
		page = d.pageV1
	}
	return listing.Lister{Driver: name, Prefix: d.prefix, Page: page, Fail: fail}.List(ctx, prefix, after, delimiter)
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
		found, err = core.ListObjectsV2(d.bucket, prefix, start, token, delimiter, listing.Ask(ctx, token))
		return err
	})
	return listing.Page{Entries: entriesOf(found.Contents, found.CommonPrefixes), More: found.IsTruncated, Next: found.NextContinuationToken}, err
}

// pageV1 is page in the older version of the API, where a page goes on after a name. That name is told only where there is
// a delimiter; else it is that of the last entry.
func (d *Driver) pageV1(ctx context.Context, prefix, start, token, delimiter string) (listing.Page, error) {
	core, err := d.client(bound{ctx: ctx, next: d.options.Transport})
	if err != nil {
		return listing.Page{}, err
	}
	if token != "" {
		start = token
	}
	var found minio.ListBucketResult
	_, err = d.try(ctx, func() (err error) {
		found, err = core.ListObjects(d.bucket, prefix, start, delimiter, listing.Ask(ctx, token))
		return err
	})
	page := listing.Page{Entries: entriesOf(found.Contents, found.CommonPrefixes), More: found.IsTruncated, Next: found.NextMarker}
	return page.FromLast(), err
}

// entriesOf puts the objects and folders of one answer into one list.
func entriesOf(objects []minio.ObjectInfo, folders []minio.CommonPrefix) []drivers.Entry {
	all := make([]drivers.Entry, 0, len(objects)+len(folders))
	for _, o := range objects {
		all = append(all, drivers.Entry{Key: o.Key, Info: objectOf(o).Info()})
	}
	for _, f := range folders {
		all = append(all, drivers.Entry{Key: f.Prefix, IsPrefix: true})
	}
	return all
}
