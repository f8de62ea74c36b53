package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/registry"
)

// Content by digest never changes, so clients may keep it. Shared caches may not: they would serve
// it after it was deleted, and to anyone. no-transform keeps proxies from compressing what a digest was made of.
const cacheByDigest = "private, max-age=31536000, immutable, no-transform"

func (s *server) getBlob(w http.ResponseWriter, r *http.Request) error {
	repo, d, err := repositoryAndDigest(r)
	if err != nil {
		return err
	}
	return s.sendBlob(w, r, repo, d)
}

func (s *server) sendBlob(w http.ResponseWriter, r *http.Request, repo string, d digest.Digest) error {
	blob, err := s.registry.Blob(r.Context(), repo, d)
	if err != nil {
		return err
	}
	if done, err := contentHeaders(w, r, d, cacheByDigest); done || err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Accept-Ranges", "bytes")
	if r.Method == http.MethodHead {
		header.Set("Content-Length", strconv.FormatInt(blob.Size, 10))
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if s.redirects(r, blob) {
		url, err := s.registry.BlobURL(r.Context(), blob, s.options.Redirect.Life)
		if err != nil {
			return err
		}
		if url != "" {
			header.Set("Cache-Control", "no-store")
			header.Set("Location", url)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return nil
		}
	}
	spans, err := requestedSpans(w, r, blob)
	if err != nil {
		return err
	}
	content, err := s.openBlob(r, blob, spans)
	if err != nil {
		return err
	}
	defer content.Close()
	http.ServeContent(w, r, "", time.Time{}, content.ReadSeeker) // the file itself, if there is one, for sendfile
	return content.failed
}

func (s *server) redirects(r *http.Request, b registry.Blob) bool {
	o := &s.options.Redirect
	return o.Enabled && b.Size >= o.MinSize && (len(o.Networks) == 0 || contains(o.Networks, s.client(r)))
}

// contentHeaders sets what every answer with content of a digest has, and answers requests whose conditions end them: 304
// for an If-None-Match that matches, 412 for an If-Match that does not (RFC 9110, section 13).
func contentHeaders(w http.ResponseWriter, r *http.Request, d digest.Digest, cacheControl string) (done bool, err error) {
	if match := r.Header.Values("If-Match"); len(match) > 0 && !etagIn(match, d) {
		return false, &registry.Error{Code: registry.PreconditionFailed, Message: "the content has another digest than If-Match wants"}
	}
	header := w.Header()
	header.Set("Docker-Content-Digest", d.String())
	header.Set("ETag", `"`+d.String()+`"`)
	header.Set("Cache-Control", cacheControl)
	if etagIn(r.Header.Values("If-None-Match"), d) {
		w.WriteHeader(http.StatusNotModified)
		return true, nil
	}
	r.Header.Del("If-Match")
	r.Header.Del("If-None-Match")
	return false, nil
}

// etags reads a list of entity tags; weak ones and ones without quotes count like any.
func etags(lines []string) []string {
	var all []string
	for element := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if element = strings.Trim(strings.TrimPrefix(strings.TrimSpace(element), "W/"), `"`); element != "" {
			all = append(all, element)
		}
	}
	return all
}

func etagIn(lines []string, d digest.Digest) bool {
	if len(lines) == 0 {
		return false
	}
	list := etags(lines)
	return slices.Contains(list, "*") || slices.Contains(list, d.String())
}

// maxSpans is how many ranges one request may ask for; with more it gets everything. Each one costs a request to the
// store, and RFC 9110, section 14.2, warns of many.
const maxSpans = 16

// span is a requested range of bytes.
type span struct{ start, length int64 }

// requestedSpans reads the Range header so that the store is asked for just those bytes. It leaves in the request
// only what http.ServeContent will satisfy.
func requestedSpans(w http.ResponseWriter, r *http.Request, b registry.Blob) ([]span, error) {
	unit, text, _ := strings.Cut(r.Header.Get("Range"), "=")
	ifRange := r.Header.Get("If-Range")
	if !strings.EqualFold(unit, "bytes") || ifRange != "" && ifRange != w.Header().Get("ETag") || strings.Count(text, ",") >= maxSpans {
		r.Header.Del("Range")
		return nil, nil
	}
	spans, err := parseSpans(text, b.Size)
	if err == nil && len(spans) == 0 {
		err = errors.New("no range overlaps the content")
	}
	if err != nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", b.Size))
		return nil, &registry.Error{Code: registry.RangeInvalid, Message: "the range can't be satisfied: " + err.Error(), Detail: map[string]any{"range": text, "size": b.Size}}
	}
	// net/http reads the header again; this way it sees what was seen here, odd forms or not.
	r.Header.Set("Range", rangeHeader(spans))
	return spans, nil
}

// parseSpans reads the ranges after "bytes=" (RFC 9110, section 14.1.1), leaving out those that begin past the end.
func parseSpans(text string, size int64) ([]span, error) {
	var spans []span
	for element := range strings.SplitSeq(text, ",") {
		element = strings.Trim(element, " \t")
		if element == "" {
			continue
		}
		first, last, ok := strings.Cut(element, "-")
		start, startErr := strconv.ParseUint(first, 10, 63)
		end, endErr := strconv.ParseUint(last, 10, 63)
		switch {
		case !ok, first == "" && endErr != nil, first != "" && startErr != nil, first != "" && last != "" && (endErr != nil || end < start):
			return nil, fmt.Errorf("%q is not a range", element)
		case first == "":
			n := min(int64(end), size)
			if n > 0 {
				spans = append(spans, span{size - n, n})
			}
		case int64(start) >= size:
		case last == "":
			spans = append(spans, span{int64(start), size - int64(start)})
		default:
			spans = append(spans, span{int64(start), min(int64(end), size-1) - int64(start) + 1})
		}
	}
	return spans, nil
}

// rangeHeader writes spans as the value of a Range header.
func rangeHeader(spans []span) string {
	all := make([]string, len(spans))
	for i, s := range spans {
		all[i] = fmt.Sprintf("%d-%d", s.start, s.start+s.length-1)
	}
	return "bytes=" + strings.Join(all, ",")
}

// openBlob opens the blob for http.ServeContent. The first byte wanted is asked for at once, so that a store that
// fails does so before the status line.
func (s *server) openBlob(r *http.Request, b registry.Blob, spans []span) (*blobContent, error) {
	f, err := s.registry.BlobFile(r.Context(), b)
	if err != nil {
		return nil, err
	}
	if f != nil {
		return &blobContent{ReadSeeker: f, close: f.Close}, nil
	}
	seeker := &blobSeeker{server: s, request: r, blob: b, spans: spans}
	if len(spans) > 0 {
		seeker.offset = spans[0].start
	}
	if err := seeker.open(); err != nil {
		return nil, err
	}
	c := &blobContent{ReadSeeker: seeker, close: seeker.Close}
	seeker.failed = &c.failed
	return c, nil
}

type blobContent struct {
	io.ReadSeeker
	close  func() error
	failed error // why the store broke off
}

func (c *blobContent) Close() error { return c.close() }

// blobSeeker reads from the store the spans that http.ServeContent seeks.
type blobSeeker struct {
	server  *server
	request *http.Request
	blob    registry.Blob
	spans   []span
	offset  int64
	body    io.ReadCloser
	at      int64 // where body stands
	failed  *error
}

func (b *blobSeeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.offset
	case io.SeekEnd:
		offset += b.blob.Size
	}
	b.offset = offset
	return offset, nil
}

func (b *blobSeeker) open() error {
	length := int64(-1)
	for _, s := range b.spans {
		if s.start == b.offset {
			length = s.length
			break
		}
	}
	var err error
	b.body, err = b.server.registry.OpenBlob(b.request.Context(), b.blob, b.offset, length)
	b.at = b.offset
	return err
}

func (b *blobSeeker) Read(p []byte) (int, error) {
	if b.body != nil && b.at != b.offset {
		b.body.Close()
		b.body = nil
	}
	if b.body == nil {
		if err := b.open(); err != nil {
			*b.failed = err
			return 0, err
		}
	}
	n, err := b.body.Read(p)
	b.at += int64(n)
	b.offset = b.at
	if err != nil && err != io.EOF {
		*b.failed = err
	}
	return n, err
}

func (b *blobSeeker) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}

func (s *server) deleteBlob(w http.ResponseWriter, r *http.Request) error {
	repo, d, err := repositoryAndDigest(r)
	if err != nil {
		return err
	}
	if err := s.mayDelete(); err != nil {
		return err
	}
	if err := s.registry.DeleteBlob(r.Context(), repo, d); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (s *server) mayDelete() error {
	if s.options.NoDelete {
		return &registry.Error{Code: registry.Unsupported, Message: "deletion is switched off (delete.enabled)"}
	}
	return nil
}
