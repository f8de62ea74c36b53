package swift

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/listing"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// What does not fit into one object of part_size is sent as segments, which stay where they are: the object is a manifest that
// names them. They lie in the same container, so that no right to another is needed, below names that no key can have:
//
//	~marks/ID                         the stream is under way; its content is the name of the object, and a word that says
//	                                  which state is the newest
//	~marks/ID-closed                  a process commits the stream
//	~segments/ID/00002-RANDOM         a segment
//
// A segment has a name that no other process can give, so a rival that goes on from the same state can't change what this
// one sent. The mark goes when the object is there.
const (
	hidden   = "~" // sorts after all that keys can begin with
	marks    = "~marks/"
	segments = "~segments/"
)

const (
	closed       = "-closed"
	streamHeader = "X-Object-Meta-Stream" // of an object made of segments: the id of its stream
)

// Writer makes no request before its first part is full.
func (d *Driver) Writer(ctx context.Context, key string, size int64) (drivers.Writer, error) {
	full, err := d.full("writer", key)
	if err != nil {
		return nil, err
	}
	return d.streams.Writer(ctx, key, full, size)
}

// Resume makes no request: whether the state is the newest one is asked before the first part is
// sent, and at Suspend and Commit again.
func (d *Driver) Resume(ctx context.Context, key string, state []byte) (drivers.Writer, error) {
	full, err := d.full("resume", key)
	if err != nil {
		return nil, err
	}
	return d.streams.Resume(ctx, key, full, state)
}

// store sends what a Writer has to send.
type store struct{ d *Driver }

var (
	_ parts.Store  = store{}
	_ parts.Sealer = store{}
	_ parts.Tidier = store{}
)

func (s store) mark(upload string) string { return s.d.prefix + marks + upload }

func (s store) segment(upload string, p parts.Part) string {
	random, _, _ := strings.Cut(p.ETag, ".")
	return fmt.Sprintf("%s%05d-%s", s.folder(upload), p.Number, random)
}

func (s store) folder(upload string) string { return s.d.prefix + segments + upload + "/" }

// PutData is one PUT.
func (s store) PutData(ctx context.Context, full string, body []byte) error {
	_, err := s.d.put(ctx, full, body, nil)
	return err
}

// Begin puts the mark.
func (s store) Begin(ctx context.Context, full string, _ parts.Sum) (upload string, err error) {
	upload = rand.Text()
	_, err = s.writeMark(ctx, full, upload, "")
	return upload, err
}

// writeMark returns the mark's ETag.
func (s store) writeMark(ctx context.Context, full, upload, word string) (etag string, err error) {
	return s.d.put(ctx, s.mark(upload), []byte(full+"\n"+word), nil)
}

// SendPart is one PUT. The part with the mark's number is the mark. The ETag of a part is the random word of its name and, after
// a dot, the store's.
func (s store) SendPart(ctx context.Context, full, upload string, number int, body []byte, sums parts.Sums) (etag string, err error) {
	if number == parts.MarkNumber {
		return s.writeMark(ctx, full, upload, string(body))
	}
	random := rand.Text()
	r := request{
		method: http.MethodPut, object: s.segment(upload, parts.Part{Number: number, ETag: random}), body: body,
		header: map[string]string{"Content-Type": "application/octet-stream"},
	}
	if sum, err := base64.StdEncoding.DecodeString(sums.MD5); err == nil && len(sum) > 0 {
		r.header["Etag"] = hex.EncodeToString(sum)
	}
	got, err := s.d.run(ctx, r)
	if err != nil {
		return "", err
	}
	return random + "." + strings.Trim(got.Get("Etag"), `"`), nil
}

// FirstPart is one HEAD of the mark.
func (s store) FirstPart(ctx context.Context, full, upload string) (etag string, err error) {
	answer, err := s.d.find(ctx, request{method: http.MethodHead, object: s.mark(upload), header: s.d.newest()})
	if err != nil {
		return "", noUpload(err)
	}
	_ = answer.Body.Close() // a HEAD has none
	header := answer.Header
	etag = strings.Trim(header.Get("Etag"), `"`)
	if first := md5.Sum([]byte(full + "\n")); etag == hex.EncodeToString(first[:]) {
		return "", nil
	}
	return etag, nil
}

// Seal lets at most one through of those that went on from one state, on a store that can only write and read: Moir's and
// Anderson's splitter (Wait-Free Algorithms for Fast, Long-Lived Renaming, 1995), with the mark as the one register and the object
// beside it as the other. Who comes alone gets through. It is two PUTs and two HEADs.
func (s store) Seal(ctx context.Context, full, upload, _ string) error {
	ours, err := s.writeMark(ctx, full, upload, rand.Text())
	if err != nil {
		return err
	}
	_, err = s.d.head(ctx, s.mark(upload)+closed)
	switch {
	case err == nil:
		return fmt.Errorf("%w: another process commits it", errNoUpload)
	case statusOf(err) != http.StatusNotFound:
		return err
	}
	if _, err := s.d.put(ctx, s.mark(upload)+closed, nil, nil); err != nil {
		return err
	}
	now, err := s.FirstPart(ctx, full, upload)
	if err == nil && now != ours {
		err = fmt.Errorf("%w: another process commits it", errNoUpload)
	}
	return err
}

// segmentOf is a line of a static large object's manifest:
// https://docs.openstack.org/swift/latest/overview_large_objects.html
type segmentOf struct {
	Path string `json:"path"`
	ETag string `json:"etag"`
	Size int64  `json:"size_bytes"`
}

// Complete is one PUT of the manifest, and two DELETEs.
func (s store) Complete(ctx context.Context, full, upload string, _ parts.Sum, list []parts.Part) (parts.Made, int, error) {
	if err := s.complete(ctx, full, upload, list); err != nil {
		return parts.Made{}, 1, err
	}
	_ = s.removeMark(ctx, upload) // or Leftovers finds it, and Drop that the object is there
	return parts.Made{}, 1, nil
}

// removeMark removes what is left of a stream beside its segments. The mark is last: it is what the others are found by.
func (s store) removeMark(ctx context.Context, upload string) error {
	return errors.Join(s.d.removeOne(ctx, s.mark(upload)+closed), s.d.removeOne(ctx, s.mark(upload)))
}

func (s store) complete(ctx context.Context, full, upload string, list []parts.Part) error {
	if len(list) == 1 && list[0].Size == 0 { // no segment can be empty
		if err := s.PutData(ctx, full, nil); err != nil {
			return err
		}
		return s.d.removeSegments(ctx, upload, nil)
	}
	header := map[string]string{streamHeader: upload, "Content-Type": "application/octet-stream"}
	if s.d.info.dynamic {
		return s.completeDynamic(ctx, full, upload, header, list)
	}
	manifest := make([]segmentOf, len(list))
	for i, p := range list {
		_, etag, _ := strings.Cut(p.ETag, ".")
		manifest[i] = segmentOf{Path: "/" + s.d.c.Container + "/" + s.segment(upload, p), ETag: etag, Size: p.Size}
	}
	body, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	_, err = s.d.run(ctx, request{method: http.MethodPut, object: full, query: url.Values{"multipart-manifest": {"put"}}, header: header, body: body})
	if statusOf(err) == http.StatusBadRequest { // a segment is not there, or another
		return fmt.Errorf("%w: %w", errNoUpload, err)
	}
	return err
}

// completeDynamic makes an object of all that lies in the stream's folder. What others have put there is removed
// before, and the listing, of which Swift makes the object at each read, has to name what was sent.
func (s store) completeDynamic(ctx context.Context, full, upload string, header map[string]string, list []parts.Part) error {
	if err := s.Tidy(ctx, full, upload, list); err != nil {
		return err
	}
	_, err := wire.Try(ctx, s.d.c.Attempts, transient, func() error {
		found, err := s.d.segmentsOf(ctx, upload)
		if err == nil && len(found) != len(list) {
			err = &refusal{status: http.StatusServiceUnavailable, header: http.Header{},
				what: fmt.Sprintf("the container's listing lags: it names %d segments of %d", len(found), len(list))}
		}
		return err
	})
	if err != nil {
		return err
	}
	header["X-Object-Manifest"] = url.PathEscape(s.d.c.Container) + "/" + s.folder(upload)
	_, err = s.d.run(ctx, request{method: http.MethodPut, object: full, header: header})
	return err
}

// Tidy removes the segments that are not in the object: those of a process that died.
func (s store) Tidy(ctx context.Context, _, upload string, kept []parts.Part) error {
	names := make(map[string]bool, len(kept))
	for _, p := range kept {
		names[s.segment(upload, p)] = true
	}
	return s.d.removeSegments(ctx, upload, names)
}

// removeSegments removes the segments of a stream but those that are kept.
func (d *Driver) removeSegments(ctx context.Context, upload string, kept map[string]bool) error {
	if upload == "" {
		return nil
	}
	found, err := d.segmentsOf(ctx, upload)
	if err != nil {
		return err
	}
	var strangers []string
	for _, e := range found {
		if !kept[e.Name] {
			strangers = append(strangers, e.Name)
		}
	}
	for _, err := range d.remove(ctx, strangers, false) {
		return err
	}
	return nil
}

// segmentsOf lists the segments of a stream.
func (d *Driver) segmentsOf(ctx context.Context, upload string) (all []entry, err error) {
	folder := store{d}.folder(upload)
	for marker := ""; ; {
		page, err := d.entries(ctx, folder, marker, "", "")
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < listing.PageSize {
			return all, nil
		}
		marker = page[len(page)-1].Name
	}
}

// Abort removes the segments, then the mark: while there is one, Leftovers finds what is left.
func (s store) Abort(ctx context.Context, _, upload string) error {
	if err := s.d.removeSegments(ctx, upload, nil); err != nil {
		return err
	}
	return s.removeMark(ctx, upload)
}

// ETag is one HEAD.
func (s store) ETag(ctx context.Context, full string) (string, error) {
	header, err := s.d.head(ctx, full)
	if err != nil {
		return "", err
	}
	return strings.Trim(header.Get("Etag"), `"`), nil
}

// NoUpload knows what noUpload has found.
func (s store) NoUpload(err error) bool { return errors.Is(err, errNoUpload) }

// Fail is fail.
func (s store) Fail(ctx context.Context, op, key string, err error) error {
	return fail(ctx, op, key, err)
}

// noUpload adds errNoUpload where a mark is not there.
func noUpload(err error) error {
	if statusOf(err) == http.StatusNotFound {
		return fmt.Errorf("%w: %w", errNoUpload, err)
	}
	return err
}

// Leftovers lists the marks, one GET for each 1,000, and for each of them asks for its key and lists its segments. A mark is
// written anew at each Suspend but the first, so Began is the time of the last one.
func (d *Driver) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	return func(yield func(drivers.Leftover, error) bool) {
		folder := d.prefix + marks
		for marker := ""; ; {
			page, err := d.entries(ctx, folder, marker, "", "")
			if err != nil {
				yield(drivers.Leftover{}, fail(ctx, "leftovers", "", err))
				return
			}
			for _, e := range page {
				if strings.HasSuffix(e.Name, closed) {
					continue
				}
				l, err := d.leftover(ctx, strings.TrimPrefix(e.Name, folder), e.info().ModTime)
				if statusOf(err) == http.StatusNotFound {
					continue // the listing lags
				}
				if err != nil {
					yield(drivers.Leftover{}, fail(ctx, "leftovers", "", err))
					return
				}
				if !yield(l, nil) {
					return
				}
			}
			if len(page) < listing.PageSize {
				return
			}
			marker = page[len(page)-1].Name
		}
	}
}

// leftover looks at one stream.
func (d *Driver) leftover(ctx context.Context, id string, began time.Time) (drivers.Leftover, error) {
	l := drivers.Leftover{ID: id, Began: began}
	full, err := d.keyOf(ctx, id)
	if err != nil {
		return l, err
	}
	l.Key = strings.TrimPrefix(full, d.prefix)
	found, err := d.segmentsOf(ctx, id)
	for _, e := range found {
		l.Size += e.Bytes
	}
	return l, err
}

// keyOf reads from a stream's mark what its object is called in the container.
func (d *Driver) keyOf(ctx context.Context, id string) (string, error) {
	answer, err := d.do(ctx, request{method: http.MethodGet, object: store{d}.mark(id), header: d.newest()})
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, 2*drivers.MaxKey))
	full, _, _ := strings.Cut(string(text), "\n")
	return full, errors.Join(err, answer.Body.Close())
}

// Drop removes a stream's segments and its mark. Where the object has been made of them, and only the mark was left, that
// alone goes.
func (d *Driver) Drop(ctx context.Context, l drivers.Leftover) error {
	const op = "drop"
	if l.ID == "" || strings.Contains(l.ID, "/") {
		return invalid(op, l.Key, "%q is no id of a stream", l.ID)
	}
	s := store{d}
	full, err := d.keyOf(ctx, l.ID)
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return fail(ctx, op, l.Key, err)
	}
	if full != "" {
		object, err := d.head(ctx, full)
		switch {
		case err == nil && object.Get(streamHeader) == l.ID:
			return fail(ctx, op, l.Key, s.removeMark(ctx, l.ID))
		case err != nil && statusOf(err) != http.StatusNotFound:
			return fail(ctx, op, l.Key, err)
		}
	}
	// From here on no state of the stream is the newest.
	if _, err := s.writeMark(ctx, full, l.ID, "dropped "+rand.Text()); err != nil {
		return fail(ctx, op, l.Key, err)
	}
	return fail(ctx, op, l.Key, s.Abort(ctx, full, l.ID))
}
