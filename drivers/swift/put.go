package swift

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Put is one PUT.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	full, err := d.full("put", key)
	if err != nil {
		return err
	}
	_, err = d.put(ctx, full, body, nil)
	return fail(ctx, "put", key, err)
}

// put sends body as an object and returns its ETag.
func (d *Driver) put(ctx context.Context, full string, body []byte, header map[string]string) (etag string, err error) {
	r := request{method: http.MethodPut, object: full, body: body, header: map[string]string{"Content-Type": "application/octet-stream"}}
	for k, v := range header {
		r.header[k] = v
	}
	if d.c.Checksums == "md5" {
		sum := md5.Sum(body)
		r.header["Etag"] = hex.EncodeToString(sum[:])
	}
	got, err := d.run(ctx, r)
	if err != nil {
		return "", err
	}
	return strings.Trim(got.Get("Etag"), `"`), nil
}

// deletesAtOnce is how many requests of one Delete are under way.
const deletesAtOnce = 16

// Delete asks what each object is, since what is made of segments has to be removed with them: one HEAD for each
// key, and one DELETE, or one POST for many that have no segments.
func (d *Driver) Delete(ctx context.Context, keys ...string) error {
	const op = "delete"
	var errs []error
	full := make([]string, 0, len(keys))
	for _, key := range keys {
		f, err := d.full(op, key)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		full = append(full, f)
	}
	slices.Sort(full)
	for f, err := range d.remove(ctx, slices.Compact(full), true) {
		errs = append(errs, fail(ctx, op, strings.TrimPrefix(f, d.prefix), err))
	}
	if ctx.Err() != nil && len(errs) > 0 {
		return ctx.Err()
	}
	return errors.Join(errs...)
}

// remove removes objects, with their segments if look says so, and returns those that are left, each with the reason.
func (d *Driver) remove(ctx context.Context, names []string, look bool) map[string]error {
	left := make(map[string]error)
	var mu sync.Mutex
	var plain []string
	d.each(names, func(full string) {
		var segmented bool
		var err error
		if look {
			segmented, err = d.removeLarge(ctx, full)
		}
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
			left[full] = err
		case !segmented:
			plain = append(plain, full)
		}
	})
	slices.Sort(plain)
	if d.info.bulk > 0 && d.c.BulkDelete && len(plain) > 1 {
		for batch := range slices.Chunk(plain, d.info.bulk) {
			for full, err := range d.removeMany(ctx, batch) {
				left[full] = err
			}
		}
		return left
	}
	d.each(plain, func(full string) {
		if err := d.removeOne(ctx, full); err != nil {
			mu.Lock()
			left[full] = err
			mu.Unlock()
		}
	})
	return left
}

// each calls f for all names, some at once.
func (d *Driver) each(names []string, f func(full string)) {
	var under sync.WaitGroup
	turn := make(chan struct{}, deletesAtOnce)
	for _, full := range names {
		turn <- struct{}{}
		under.Go(func() {
			defer func() { <-turn }()
			f(full)
		})
	}
	under.Wait()
}

// removeOne is one DELETE.
func (d *Driver) removeOne(ctx context.Context, full string) error {
	_, err := d.run(ctx, request{method: http.MethodDelete, object: full})
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	return err
}

// removeLarge removes an object that is made of segments, with these, and reports whether it was one, or absent.
func (d *Driver) removeLarge(ctx context.Context, full string) (done bool, err error) {
	header, err := d.head(ctx, full)
	switch {
	case statusOf(err) == http.StatusNotFound:
		return true, nil
	case err != nil:
		return false, err
	case header.Get("X-Static-Large-Object") != "":
		_, err := d.bulk(ctx, request{method: http.MethodDelete, object: full, query: url.Values{"multipart-manifest": {"delete"}}})
		return true, err
	case header.Get("X-Object-Manifest") != "":
		if err := d.removeOne(ctx, full); err != nil {
			return true, err
		}
		return true, d.removeSegments(ctx, header.Get(streamHeader), nil)
	}
	return false, nil
}

// removeMany removes objects in one request to the account, for which rights to the container are enough; Ceph takes one to the
// container for something else: https://docs.openstack.org/swift/latest/middleware.html#bulk-delete
func (d *Driver) removeMany(ctx context.Context, batch []string) map[string]error {
	left := make(map[string]error)
	var body strings.Builder
	for _, full := range batch {
		fmt.Fprintf(&body, "%s/%s\n", url.PathEscape(d.c.Container), full)
	}
	failed, err := d.bulk(ctx, request{
		method: http.MethodPost, account: true, query: url.Values{"bulk-delete": {""}}, header: map[string]string{"Content-Type": "text/plain"}, body: []byte(body.String()),
	})
	for _, f := range failed {
		full := strings.TrimPrefix(strings.TrimPrefix(f.name, "/"), d.c.Container+"/")
		left[full] = &refusal{status: f.status, what: f.text, header: http.Header{}}
	}
	if err != nil && len(failed) == 0 {
		for _, full := range batch {
			left[full] = err
		}
	}
	return left
}

// failure is what a bulk answer says of one object.
type failure struct {
	name, text string
	status     int
}

// bulk sends a request whose answer has status 200 whatever came of it, and says so in its body.
func (d *Driver) bulk(ctx context.Context, r request) (failed []failure, err error) {
	if r.header == nil {
		r.header = make(map[string]string)
	}
	r.header["Accept"] = "application/json"
	answer, err := d.do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it was read to its end, or the error tells
	var said struct {
		Status string     `json:"Response Status"`
		Body   string     `json:"Response Body"`
		Errors [][]string `json:"Errors"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return nil, fmt.Errorf("the answer to a bulk request can't be read: %w", err)
	}
	for _, e := range said.Errors {
		if len(e) != 2 {
			continue
		}
		name, err := url.PathUnescape(e[0])
		if err != nil {
			name = e[0]
		}
		failed = append(failed, failure{name: name, text: e[1], status: leadingNumber(e[1])})
	}
	if status := leadingNumber(said.Status); status >= 300 && status != http.StatusNotFound {
		if len(failed) > 0 {
			status = failed[0].status
		}
		return failed, &refusal{status: status, what: said.Status + " " + said.Body, header: answer.Header}
	}
	return failed, nil
}

// leadingNumber is the status in "403 Forbidden", 0 if there is none.
func leadingNumber(s string) int {
	number, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return n
}
