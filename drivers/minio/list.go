package minio

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/drivers"
)

// pageSize is the most that S3 gives in one answer.
const pageSize = 1000

// List is one GET for each 1,000 entries that the caller takes.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	const op = "list"
	return func(yield func(drivers.Entry, error) bool) {
		if delimiter != "" && delimiter != "/" {
			yield(drivers.Entry{}, invalid(op, prefix, "delimiter %q is neither empty nor a slash", delimiter))
			return
		}
		if ctx.Err() != nil {
			yield(drivers.Entry{}, ctx.Err())
			return
		}
		if !keyBytes(prefix) {
			return // no key begins so; and MinIO refuses some of them
		}
		asked, start := prefix, ""
		switch {
		case dotted(prefix):
			// MinIO refuses it, though keys may begin so. All of them come after start.
			asked = prefix[:strings.LastIndex(prefix, "/")+1]
			start = d.prefix + justBefore(prefix)
		case after > prefix && !strings.HasPrefix(after, prefix):
			return // everything that begins with prefix sorts before after
		}
		if after > prefix {
			start = d.prefix + justBefore(after)
		}
		last, token := after, ""
		for {
			page, err := d.page(ctx, d.prefix+asked, start, token, delimiter)
			if err != nil {
				yield(drivers.Entry{}, fail(ctx, op, prefix, err))
				return
			}
			entries := d.entries(page)
			if token != "" && (page.NextContinuationToken == token || len(entries) > 0 && entries[0].Key < last) {
				// It would go on for ever.
				yield(drivers.Entry{}, wrap(op, prefix, drivers.ErrCorrupt, fmt.Errorf("after %q the store begins its listing again", last)))
				return
			}
			for _, e := range entries {
				if e.Key <= last {
					continue // before after, or seen already: some stores repeat a folder on the next page
				}
				if !strings.HasPrefix(e.Key, prefix) {
					return // past the last one of a dotted prefix
				}
				if ctx.Err() != nil {
					yield(drivers.Entry{}, ctx.Err())
					return
				}
				last = e.Key
				if !yield(e, nil) {
					return
				}
			}
			if !page.IsTruncated {
				return
			}
			token = page.NextContinuationToken
		}
	}
}

// entries puts a page's objects and folders, which S3 gives apart, into the order of their keys.
func (d *Driver) entries(page minio.ListBucketV2Result) []drivers.Entry {
	all := make([]drivers.Entry, 0, len(page.Contents)+len(page.CommonPrefixes))
	for _, o := range page.Contents {
		all = append(all, drivers.Entry{Key: strings.TrimPrefix(o.Key, d.prefix), Info: infoOf(o)})
	}
	for _, p := range page.CommonPrefixes {
		all = append(all, drivers.Entry{Key: strings.TrimPrefix(p.Prefix, d.prefix), IsPrefix: true})
	}
	slices.SortFunc(all, func(a, b drivers.Entry) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

// page asks for one page. start counts only where token is "".
func (d *Driver) page(ctx context.Context, prefix, start, token, delimiter string) (page minio.ListBucketV2Result, err error) {
	// A client costs some microseconds; Core.ListObjectsV2 takes no context.
	core, err := d.client(bound{ctx: ctx, next: d.options.Transport})
	if err != nil {
		return page, err
	}
	if token != "" {
		start = ""
	}
	_, err = d.try(ctx, func() (err error) {
		page, err = core.ListObjectsV2(d.bucket, prefix, start, token, delimiter, pageSize)
		return err
	})
	return page, err
}

// dotted reports whether the last element of s is . or .., which MinIO takes for a path that climbs.
func dotted(s string) bool {
	element := s[strings.LastIndex(s, "/")+1:]
	return element == "." || element == ".."
}

// justBefore returns s or, if MinIO would refuse that, a string a little before it.
func justBefore(s string) string {
	at := 0
	for element := range strings.SplitSeq(s, "/") {
		at += len(element)
		if element == "." || element == ".." {
			return s[:at-1] + "-~" // - is the byte before ., and ~ is above all that keys have
		}
		at++
	}
	return s
}

// keyBytes reports whether a key could begin with s.
func keyBytes(s string) bool {
	for element := range strings.SplitSeq(s, "/") {
		if len(element) > drivers.MaxElement {
			return false
		}
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '/' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return !strings.HasPrefix(s, "/") && !strings.Contains(s, "//") && !strings.Contains("/"+s, "/./") && !strings.Contains("/"+s, "/../")
}
