package swift

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// What does not fit into one object of part_size is sent as segments, which stay where they are: the object is a manifest that
// names them. They lie in the same container, so that no right to another is needed, below names that no key can have:
//
//	~marks/ID                         the stream is under way; its content is the name of the object
//	~marks/ID-closed                  a process commits the stream; likewise
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
	sealed       = "sealed-"              // begins the word of a mark that Seal has written; a state's has none
	wordHeader   = "X-Object-Meta-Word"   // of a mark: says which state is the newest; absent from a new one
	streamHeader = "X-Object-Meta-Stream" // of an object made of segments: the id of its stream
	partsHeader  = "X-Object-Meta-Parts"  // and of which of those that the stream's Writers have sent
)

// forgetTime bounds what goes on after a Writer has failed.
const forgetTime = 10 * time.Second

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
	_ parts.Store     = store{}
	_ parts.Sealer    = store{}
	_ parts.Tidier    = store{}
	_ parts.Forgetter = store{}
)

func (s store) mark(upload string) string { return s.d.prefix + marks + upload }

func (s store) closed(upload string) string { return s.mark(upload) + closed }

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
	return upload, s.writeMark(ctx, full, upload, "")
}

func (s store) writeMark(ctx context.Context, full, upload, word string) error {
	header := map[string]string{}
	if word != "" {
		header[wordHeader] = word
	}
	_, err := s.d.put(ctx, s.mark(upload), []byte(full), header)
	return err
}

// SendPart is one PUT. The part with the mark's number is the mark. The ETag of a part is the random word of its name and, after
// a dot, the store's.
func (s store) SendPart(ctx context.Context, full, upload string, number int, body []byte, sums parts.Sums) (etag string, err error) {
	if number == parts.MarkNumber {
		return string(body), s.writeMark(ctx, full, upload, string(body))
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
		s.d.forget(r.object)
		return "", err
	}
	return random + "." + strings.Trim(got.Get("Etag"), `"`), nil
}

// forget removes a segment that was given up, in the background: the store may still be about to take it, and nobody else knows its name. The
// store puts what came first before what came later, so that the segment does not come back.
func (d *Driver) forget(full string) {
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), min(d.c.Timeout, forgetTime))
		defer cancel()
		_, _ = d.send(ctx, request{method: http.MethodDelete, object: full}) // Cancel and Drop find what is left
	}()
}

// FirstPart is one HEAD of the mark.
func (s store) FirstPart(ctx context.Context, full, upload string) (etag string, err error) {
	answer, err := s.d.find(ctx, request{method: http.MethodHead, object: s.mark(upload), header: s.d.newest()})
	if statusOf(err) == http.StatusNotFound {
		return "", fmt.Errorf("%w: %w", errNoUpload, err)
	}
	if err != nil {
		return "", err
	}
	_ = answer.Body.Close() // a HEAD has none
	return answer.Header.Get(wordHeader), nil
}

// Seal lets at most one through of those that went on from one state, on a store that can only write and read: Moir's and
// Anderson's splitter (Wait-Free Algorithms for Fast, Long-Lived Renaming, 1995), with the mark as the one register and the object
// beside it as the other. Who comes alone gets through. Both are PUTs of whole objects: of metadata that a POST has changed, Swift does not
// promise the newest (source_key in proxy/controllers/base.py). It is two PUTs and four HEADs.
//
// Who comes so late that the winner has removed both finds no mark or, if it has just made one anew, the winner's object.
func (s store) Seal(ctx context.Context, full, upload, mark string) (ours string, err error) {
	now, err := s.FirstPart(ctx, full, upload)
	switch {
	case err != nil:
		return "", err
	case now != mark:
		return "", fmt.Errorf("%w: it was resumed and suspended again, or ended", errNoUpload)
	case strings.HasPrefix(mark, sealed):
		return mark, nil // by this Writer, whose Commit has failed later
	}
	ours = sealed + rand.Text()
	if err := s.writeMark(ctx, full, upload, ours); err != nil {
		return "", err
	}
	if err := s.split(ctx, full, upload, ours); err != nil {
		return "", err
	}
	made, err := s.d.isMade(ctx, full, upload)
	if err == nil && made {
		_ = s.removeMark(ctx, upload) // it was made anew
		err = errSealed
	}
	return ours, err
}

// isMade reports whether the stream has become the object.
func (d *Driver) isMade(ctx context.Context, full, upload string) (bool, error) {
	header, err := d.head(ctx, full)
	if statusOf(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil && header.Get(streamHeader) == upload, err
}

// split is the splitter after its first write.
func (s store) split(ctx context.Context, full, upload, ours string) error {
	_, err := s.d.head(ctx, s.closed(upload))
	switch {
	case err == nil:
		return errSealed
	case statusOf(err) != http.StatusNotFound:
		return err
	}
	if _, err := s.d.put(ctx, s.closed(upload), []byte(full), nil); err != nil {
		return err
	}
	now, err := s.FirstPart(ctx, full, upload)
	if err == nil && now != ours {
		err = errSealed
	}
	return err
}

// Complete is what complete does, and two DELETEs.
func (s store) Complete(ctx context.Context, full, upload string, _ parts.Sum, list []parts.Part) (parts.Made, int, error) {
	if err := s.complete(ctx, full, upload, list); err != nil {
		return parts.Made{}, 1, err
	}
	_ = s.removeMark(ctx, upload) // or Leftovers finds it, and Drop that the object is there
	return parts.Made{}, 1, nil
}

// Tidy removes the segments that are not in the object: those of a process that died.
func (s store) Tidy(ctx context.Context, _, upload string, kept []parts.Part) error {
	names := make(map[string]bool, len(kept))
	for _, p := range kept {
		names[s.segment(upload, p)] = true
	}
	inner, _ := s.manifests("", upload, kept)
	for _, m := range inner {
		names[m.full] = true
	}
	return s.d.removeSegments(ctx, upload, names)
}

// Forget removes segments by their names, whether the listing has them or not. It leaves those of the object: Commit may have made it and not
// got the answer.
func (s store) Forget(ctx context.Context, full, upload string, list []parts.Part, since int) error {
	header, err := s.d.head(ctx, full)
	if err != nil && statusOf(err) != http.StatusNotFound {
		return err
	}
	if err == nil && header.Get(streamHeader) == upload && (since == 0 || header.Get(partsHeader) == partsSum(list)) {
		return nil
	}
	var names []string
	for _, p := range list {
		if p.Number >= since && p.ETag != "" {
			names = append(names, s.segment(upload, p))
		}
	}
	for _, err := range s.d.remove(ctx, names, false) {
		return err
	}
	return nil
}

// partsSum tells lists of parts apart.
func partsSum(list []parts.Part) string {
	h := md5.New()
	for _, p := range list {
		_, _ = fmt.Fprintln(h, p.Number, p.ETag) // a hash takes all
	}
	return hex.EncodeToString(h.Sum(nil))
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
		page, err := d.entries(ctx, folder, marker, "", "", d.info.page)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if !d.more(page, d.info.page) {
			return all, nil
		}
		marker = page[len(page)-1].Name
	}
}

// removeMark removes what is left of a stream beside its segments. The mark is last: it is what the others are found by.
func (s store) removeMark(ctx context.Context, upload string) error {
	return errors.Join(s.d.removeOne(ctx, s.closed(upload)), s.d.removeOne(ctx, s.mark(upload)))
}

// Abort removes the segments, then the mark: while there is one, Leftovers finds what is left. Segments of an object it leaves, as Forget does.
func (s store) Abort(ctx context.Context, full, upload string) error {
	made, err := s.d.isMade(ctx, full, upload)
	if err == nil && !made {
		err = s.d.removeSegments(ctx, upload, nil)
	}
	if err != nil {
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
