package swift

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// segmentOf is a line of a static large object's manifest:
// https://docs.openstack.org/swift/latest/overview_large_objects.html
type segmentOf struct {
	Path string `json:"path"`
	ETag string `json:"etag"`
	Size int64  `json:"size_bytes"`
}

// manifest is a static large object that is to be made.
type manifest struct {
	full string
	list []segmentOf
}

// etag is that of the object: the MD5 of its segments' ETags.
func (m manifest) etag() string {
	h := md5.New()
	for _, s := range m.list {
		_, _ = io.WriteString(h, s.ETag) // a hash takes all
	}
	return hex.EncodeToString(h.Sum(nil))
}

// line names m in the manifest of another.
func (m manifest) line(container string) segmentOf {
	l := segmentOf{Path: "/" + container + "/" + m.full, ETag: m.etag()}
	for _, s := range m.list {
		l.Size += s.Size
	}
	return l
}

// manifests are those of an object of these parts. Where one can't have so many segments, others come before it, which are its segments and lie
// beside the parts; their names follow from what is in them, so that they are found again in a list of parts.
func (s store) manifests(full, upload string, list []parts.Part) (inner []manifest, outer manifest) {
	outer.full = full
	for _, p := range list {
		_, etag, _ := strings.Cut(p.ETag, ".")
		outer.list = append(outer.list, segmentOf{Path: "/" + s.d.c.Container + "/" + s.segment(upload, p), ETag: etag, Size: p.Size})
	}
	if len(list) <= s.d.info.most {
		return nil, outer
	}
	var lines []segmentOf
	for group := range slices.Chunk(outer.list, s.d.info.most) {
		m := manifest{list: group}
		m.full = fmt.Sprintf("%s%05d-%s", s.folder(upload), list[len(lines)*s.d.info.most].Number, m.etag())
		inner, lines = append(inner, m), append(lines, m.line(s.d.c.Container))
	}
	outer.list = lines
	return inner, outer
}

// putManifest is one PUT. A store that may have no static large objects, and would take the manifest itself for the object's bytes, is
// told the ETag of what the manifest makes, so that it refuses; Ceph, which shows what it has, refuses it always.
func (d *Driver) putManifest(ctx context.Context, m manifest, header map[string]string) error {
	body, err := json.Marshal(m.list)
	if err != nil {
		return err
	}
	r := request{
		method: http.MethodPut, object: m.full, query: url.Values{"multipart-manifest": {"put"}}, body: body,
		header: map[string]string{"Content-Type": "application/octet-stream", "Accept": "application/json"},
	}
	if d.info.unsure {
		r.header["Etag"] = m.etag()
	}
	for k, v := range header {
		r.header[k] = v
	}
	_, err = wire.Try(ctx, d.c.Attempts, transient, func() error {
		answer, err := d.send(ctx, r)
		if err == nil {
			drain(answer)
		}
		return ofSegment(err)
	})
	switch statusOf(err) {
	case http.StatusBadRequest, http.StatusNotFound: // a segment is not there, or another; Ceph says 404
		return fmt.Errorf("%w: %w", errNoUpload, err)
	case http.StatusUnprocessableEntity:
		return fmt.Errorf("the store makes no static large object of the segments; set large_objects to dlo, or to slo if it has them all the same: %w", err)
	}
	return err
}

// segmentStatus is what a refused manifest says of a segment, such as "503 Service Unavailable".
var segmentStatus = regexp.MustCompile(`"([1-5][0-9][0-9]) [A-Z]`)

// ofSegment is err with the status that the store met when it looked at a segment, where that was not that there is none: status 400 tells
// nothing of it.
func ofSegment(err error) error {
	var refused *refusal
	if !errors.As(err, &refused) || refused.status != http.StatusBadRequest {
		return err
	}
	for _, found := range segmentStatus.FindAllStringSubmatch(refused.what, -1) {
		if status := leadingNumber(found[1]); status != http.StatusNotFound {
			return &refusal{status: status, what: refused.what, header: refused.header}
		}
	}
	return err
}

// complete makes the object: one PUT of a manifest, or one more for each thousand segments if there are more than a manifest can have.
func (s store) complete(ctx context.Context, full, upload string, list []parts.Part) error {
	header := map[string]string{streamHeader: upload, partsHeader: partsSum(list)}
	if len(list) == 1 && list[0].Size == 0 { // no segment can be empty
		if _, err := s.d.put(ctx, full, nil, header); err != nil {
			return err
		}
		return s.d.removeSegments(ctx, upload, nil)
	}
	if s.d.info.dynamic {
		return s.completeDynamic(ctx, full, upload, header, list)
	}
	inner, outer := s.manifests(full, upload, list)
	errs := make([]error, len(inner))
	at := make(map[string]int, len(inner))
	names := make([]string, len(inner))
	for i, m := range inner {
		at[m.full], names[i] = i, m.full
	}
	s.d.each(names, func(name string) { errs[at[name]] = s.d.putManifest(ctx, inner[at[name]], nil) })
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.d.putManifest(ctx, outer, header)
}

// completeDynamic makes an object of all that lies in the stream's folder: one GET at least, and one PUT. What others have put there is removed
// before, and the listing, of which Swift makes the object at each read, has to name what was sent.
func (s store) completeDynamic(ctx context.Context, full, upload string, header map[string]string, list []parts.Part) error {
	ours := make(map[string]int64, len(list))
	for _, p := range list {
		ours[s.segment(upload, p)] = p.Size
	}
	_, err := wire.Try(ctx, s.d.c.Attempts, transient, func() error {
		found, err := s.d.segmentsOf(ctx, upload)
		if err != nil {
			return err
		}
		var strangers []string
		named := 0
		for _, e := range found {
			switch size, ok := ours[e.Name]; {
			case !ok:
				strangers = append(strangers, e.Name)
			case size == e.Bytes:
				named++
			}
		}
		for _, err := range s.d.remove(ctx, strangers, false) {
			return err
		}
		if named < len(list) || len(strangers) > 0 {
			return &refusal{status: http.StatusServiceUnavailable, header: http.Header{},
				what: fmt.Sprintf("the container's listing lags: it names %d segments of %d, and %d others", named, len(list), len(strangers))}
		}
		return nil
	})
	if err != nil {
		return err
	}
	header["X-Object-Manifest"] = url.PathEscape(s.d.c.Container) + "/" + s.folder(upload)
	_, err = s.d.put(ctx, full, nil, header)
	return err
}
