package swift

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/listing"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// Reader is one GET; one HEAD instead if length is 0; and a HEAD after the GET if offset is at or past
// the end, since that answer tells nothing of the object.
func (d *Driver) Reader(ctx context.Context, key string, offset, length int64) (io.ReadCloser, drivers.Info, error) {
	const op = "reader"
	full, err := d.full(op, key)
	if err != nil {
		return nil, drivers.Info{}, err
	}
	if offset < 0 {
		return nil, drivers.Info{}, invalid(op, key, "offset %d is negative", offset)
	}
	if length == 0 {
		info, err := d.stat(ctx, op, key, full)
		return http.NoBody, info, err
	}
	r := request{method: http.MethodGet, object: full, header: d.newest()}
	ranged := wire.RangeHeader(offset, length)
	if ranged != "" {
		r.header["Range"] = ranged
	}
	answer, err := d.find(ctx, r)
	if statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		info, err := d.stat(ctx, op, key, full)
		if err == nil && info.Size > offset {
			err = wrap(op, key, drivers.ErrThrottled, errors.New("the object changed while it was looked at"))
		}
		return http.NoBody, info, err
	}
	if err != nil {
		return nil, drivers.Info{}, fail(ctx, op, key, err)
	}
	info, err := infoOf(answer.Header, answer.ContentLength)
	body := &wire.Body{ReadCloser: answer.Body, Left: info.Size, Fail: func(err error) error { return fail(ctx, op, key, err) }}
	if err == nil && ranged != "" && (answer.StatusCode == http.StatusPartialContent || info.Size > 0) { // an empty object has no ranges
		info.Size, err = wire.RangeTotal(answer.Header.Get("Content-Range"), offset, info.Size)
	}
	if err != nil {
		_ = answer.Body.Close() // the answer is of no use
		return nil, drivers.Info{}, wrap(op, key, nil, err)
	}
	return body, info, nil
}

// find is do, but asks again, once, where the answer is that there is no such object. A server that is about to replace
// one says so when it has found the older file and that has gone before it was opened (DiskFile.open in swift/obj/diskfile.py). Who pulls by a tag
// that is being moved would be told that there is none.
func (d *Driver) find(ctx context.Context, r request) (*http.Response, error) {
	answer, err := d.do(ctx, r)
	if statusOf(err) == http.StatusNotFound && d.c.Newest {
		return d.do(ctx, r)
	}
	return answer, err
}

// Stat is one HEAD.
func (d *Driver) Stat(ctx context.Context, key string) (drivers.Info, error) {
	full, err := d.full("stat", key)
	if err != nil {
		return drivers.Info{}, err
	}
	return d.stat(ctx, "stat", key, full)
}

func (d *Driver) stat(ctx context.Context, op, key, full string) (drivers.Info, error) {
	answer, err := d.find(ctx, request{method: http.MethodHead, object: full, header: d.newest()})
	if err != nil {
		return drivers.Info{}, fail(ctx, op, key, err)
	}
	header := answer.Header
	_ = answer.Body.Close() // a HEAD has none
	size, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil {
		return drivers.Info{}, wrap(op, key, nil, fmt.Errorf("the answer has no Content-Length: %w", err))
	}
	info, err := infoOf(header, size)
	if err != nil {
		return drivers.Info{}, wrap(op, key, nil, err)
	}
	return info, nil
}

func (d *Driver) head(ctx context.Context, full string) (http.Header, error) {
	return d.run(ctx, request{method: http.MethodHead, object: full, header: d.newest()})
}

// infoOf reads the headers of an answer about an object. That of a large object has its ETag in quotes.
func infoOf(header http.Header, size int64) (drivers.Info, error) {
	info := drivers.Info{Size: size, ETag: strings.Trim(header.Get("Etag"), `"`)}
	if size < 0 || info.ETag == "" {
		return info, errors.New("the answer has no Content-Length or no ETag")
	}
	// Last-Modified is rounded up to the second, X-Timestamp is not.
	if seconds, err := strconv.ParseFloat(header.Get("X-Timestamp"), 64); err == nil {
		info.ModTime = time.Unix(int64(seconds), 0)
	} else if t, err := http.ParseTime(header.Get("Last-Modified")); err == nil {
		info.ModTime = t
	}
	return info, nil
}

// List is one GET for each 1,000 entries that the caller takes. A container's listing may lag behind its objects, by
// moments or, when a cluster is busy, by minutes; what was put may be missing in it, what was deleted be there.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	return listing.Lister{Driver: name, Prefix: d.prefix, Page: d.page, Fail: fail}.List(ctx, prefix, after, delimiter)
}

// entry is a line of a container's listing in JSON:
// https://docs.openstack.org/api-ref/object-store/#show-container-details-and-list-objects
type entry struct {
	Name     string `json:"name"`
	Hash     string `json:"hash"`
	SLOETag  string `json:"slo_etag"`
	Bytes    int64  `json:"bytes"`
	Modified string `json:"last_modified"`
	Subdir   string `json:"subdir"`
}

// page asks for one page of what sorts before the names of streams.
func (d *Driver) page(ctx context.Context, prefix, start, token, delimiter string) (listing.Page, error) {
	if token != "" {
		start = token
	}
	size := min(listing.Ask(ctx, token), d.info.page)
	all, err := d.entries(ctx, prefix, start, d.prefix+hidden, delimiter, size)
	if err != nil {
		return listing.Page{}, err
	}
	page := listing.Page{Entries: make([]drivers.Entry, 0, len(all)), More: d.more(all, size)}
	for _, e := range all {
		if e.Subdir != "" {
			page.Entries = append(page.Entries, drivers.Entry{Key: e.Subdir, IsPrefix: true})
			page.Next = max(page.Next, e.Subdir)
			continue
		}
		page.Entries = append(page.Entries, drivers.Entry{Key: e.Name, Info: e.info()})
		page.Next = max(page.Next, e.Name)
	}
	return page, nil
}

func (e entry) info() drivers.Info {
	info := drivers.Info{Size: e.Bytes, ETag: strings.Trim(e.Hash, `"`)}
	if e.SLOETag != "" {
		info.ETag = strings.Trim(e.SLOETag, `"`)
	}
	if t, err := time.Parse("2006-01-02T15:04:05.999999", strings.TrimSuffix(e.Modified, "Z")); err == nil {
		info.ModTime = t.Truncate(time.Second)
	}
	return info
}

// more reports whether another page may follow one for which size entries were asked.
func (d *Driver) more(page []entry, size int) bool {
	return len(page) >= size || d.c.ShortPages && len(page) > 0
}

// entries is one page of the container's listing, of up to size entries.
func (d *Driver) entries(ctx context.Context, prefix, marker, end, delimiter string, size int) (all []entry, err error) {
	query := url.Values{"format": {"json"}, "limit": {strconv.Itoa(size)}}
	for k, v := range map[string]string{"prefix": prefix, "marker": marker, "end_marker": end, "delimiter": delimiter} {
		if v != "" {
			query.Set(k, v)
		}
	}
	_, err = wire.Try(ctx, d.c.Attempts, transient, func() error {
		answer, err := d.send(ctx, request{method: http.MethodGet, query: query})
		if err != nil {
			return err
		}
		all = nil
		if answer.StatusCode != http.StatusNoContent { // older ones say so where there is nothing
			err = json.NewDecoder(answer.Body).Decode(&all)
		}
		return errors.Join(err, answer.Body.Close())
	})
	if n := len(all); err == nil && delimiter == "" && n > 0 && all[n-1].Name <= marker { // it would go on for ever
		return nil, wrap("list", prefix, drivers.ErrCorrupt, fmt.Errorf("after %q the store begins its listing again", marker))
	}
	return all, err
}
