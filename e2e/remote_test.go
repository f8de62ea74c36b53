//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/internal/testimage"
)

// accept is every media type of a manifest: OCI and Docker schema 2.
const accept = testimage.MediaTypeManifest + ", " + testimage.MediaTypeIndex +
	", application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"

// A layout is an OCI image layout on disk whose one reference is "1".
type layout struct {
	dir    string
	digest string // of what the reference names
}

func (l layout) path(digest string) string {
	return filepath.Join(l.dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

// indexDigest is the digest of index.json, which crane pushes as an index of its own, around what the layout names.
func (l layout) indexDigest(t *testing.T) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(l.dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(body))
}

// A remote is a registry as the tests themselves see it, whatever clients say. Its methods may be called from many goroutines.
type remote struct {
	addr string // host:port, spoken to over plain HTTP
}

// An answer is a response whose body has been read.
type answer struct {
	*http.Response
	body []byte
}

// send makes a request and reads the answer, which has to have one of the statuses given, if any is. The path is
// made absolute unless it is a whole URL already. length is that of body, -1 for a stream of unknown length.
func (r remote) send(ctx context.Context, method, path string, header http.Header, body io.Reader, length int64, statuses ...int) (answer, error) {
	if !strings.HasPrefix(path, "http://") {
		path = "http://" + r.addr + path
	}
	req, err := http.NewRequestWithContext(ctx, method, path, body)
	if err != nil {
		return answer{}, err
	}
	if header != nil {
		req.Header = header
	}
	req.ContentLength = length
	res, err := made.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	a := answer{res, text}
	for _, status := range statuses {
		if res.StatusCode == status {
			return a, nil
		}
	}
	if len(statuses) > 0 {
		return a, fmt.Errorf("%s %s: %s, want %v: %s", method, path, res.Status, statuses, text)
	}
	return a, nil
}

// get is send for a GET without a body.
func (r remote) get(ctx context.Context, path string, statuses ...int) (answer, error) {
	return r.send(ctx, http.MethodGet, path, nil, nil, 0, statuses...)
}

// startUpload begins an upload and returns its location.
func (r remote) startUpload(ctx context.Context, repo string) (location string, err error) {
	a, err := r.send(ctx, http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil, nil, 0, http.StatusAccepted)
	if err != nil {
		return "", err
	}
	return a.Header.Get("Location"), nil
}

// patch sends the next bytes of an upload, which begin at offset, and returns the next location.
func (r remote) patch(ctx context.Context, location string, offset int64, chunk string) (string, error) {
	header := http.Header{
		"Content-Type":  {"application/octet-stream"},
		"Content-Range": {fmt.Sprintf("%d-%d", offset, offset+int64(len(chunk))-1)},
	}
	a, err := r.send(ctx, http.MethodPatch, location, header, strings.NewReader(chunk), int64(len(chunk)), http.StatusAccepted)
	if err != nil {
		return "", err
	}
	return a.Header.Get("Location"), nil
}

// finish ends an upload with body as its last, or only, bytes.
func (r remote) finish(ctx context.Context, location, digest string, body io.Reader, length int64) error {
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	_, err := r.send(ctx, http.MethodPut, location+separator+"digest="+url.QueryEscape(digest), header, body, length, http.StatusCreated)
	return err
}

// pushBlob uploads a blob in two requests: POST, then PUT with all bytes.
func (r remote) pushBlob(ctx context.Context, repo, digest string, body io.Reader, size int64) error {
	location, err := r.startUpload(ctx, repo)
	if err != nil {
		return err
	}
	return r.finish(ctx, location, digest, body, size)
}

func (r remote) putManifest(ctx context.Context, repo, reference, mediaType string, body []byte) error {
	header := http.Header{"Content-Type": {mediaType}}
	_, err := r.send(ctx, http.MethodPut, "/v2/"+repo+"/manifests/"+reference, header, bytes.NewReader(body), int64(len(body)), http.StatusCreated)
	return err
}

// push uploads all of a layout, the top manifest under the tag "1".
func (r remote) push(ctx context.Context, repo string, l layout) error {
	return r.pushManifest(ctx, repo, "1", l, l.digest)
}

func (r remote) pushManifest(ctx context.Context, repo, reference string, l layout, digest string) error {
	body, err := os.ReadFile(l.path(digest))
	if err != nil {
		return err
	}
	var m testimage.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return err
	}
	for _, child := range m.Manifests {
		if err := r.pushManifest(ctx, repo, child.Digest, l, child.Digest); err != nil {
			return err
		}
	}
	for _, d := range blobs(m) {
		f, err := os.Open(l.path(d.Digest))
		if err != nil {
			return err
		}
		if err := errors.Join(r.pushBlob(ctx, repo, d.Digest, io.NopCloser(f), d.Size), f.Close()); err != nil {
			return err
		}
	}
	return r.putManifest(ctx, repo, reference, m.MediaType, body)
}

func blobs(m testimage.Manifest) []testimage.Descriptor {
	if m.Config == nil {
		return m.Layers
	}
	return append([]testimage.Descriptor{*m.Config}, m.Layers...)
}

// pull reads everything that a reference leads to, checks each digest and size, and returns the digest of the reference.
func (r remote) pull(ctx context.Context, repo, reference string) (digest string, err error) {
	a, err := r.send(ctx, http.MethodGet, "/v2/"+repo+"/manifests/"+reference, http.Header{"Accept": {accept}}, nil, 0, http.StatusOK)
	if err != nil {
		return "", err
	}
	digest = fmt.Sprintf("sha256:%x", sha256.Sum256(a.body))
	if told := a.Header.Get("Docker-Content-Digest"); told != digest {
		return "", fmt.Errorf("%s:%s: Docker-Content-Digest is %q, the bytes have %s", repo, reference, told, digest)
	}
	var m testimage.Manifest
	if err := json.Unmarshal(a.body, &m); err != nil {
		return "", err
	}
	if told := a.Header.Get("Content-Type"); m.MediaType != "" && told != m.MediaType {
		return "", fmt.Errorf("%s:%s: Content-Type is %q, the manifest says %q", repo, reference, told, m.MediaType)
	}
	for _, child := range m.Manifests {
		got, err := r.pull(ctx, repo, child.Digest)
		if err != nil {
			return "", fmt.Errorf("%s:%s: %w", repo, reference, err)
		}
		if got != child.Digest {
			return "", fmt.Errorf("%s:%s: asked for %s, got %s", repo, reference, child.Digest, got)
		}
	}
	for _, d := range blobs(m) {
		if err := r.checkBlob(ctx, repo, d.Digest, d.Size); err != nil {
			return "", err
		}
	}
	return digest, nil
}

// checkBlob downloads a blob and compares its digest and size.
func (r remote) checkBlob(ctx context.Context, repo, digest string, size int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.addr+"/v2/"+repo+"/blobs/"+digest, nil)
	if err != nil {
		return err
	}
	res, err := made.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, res.Body)
	if err != nil {
		return fmt.Errorf("blob %s: %w", digest, err)
	}
	if got := fmt.Sprintf("sha256:%x", sum.Sum(nil)); res.StatusCode != http.StatusOK || got != digest || n != size {
		return fmt.Errorf("blob %s of %d bytes: %s, got %s of %d bytes", digest, size, res.Status, got, n)
	}
	return nil
}

// tags lists the tags of a repository, page by page.
func (r remote) tags(ctx context.Context, repo string) ([]string, error) {
	var all []string
	for path := "/v2/" + repo + "/tags/list?n=100"; path != ""; {
		a, err := r.get(ctx, path, http.StatusOK)
		if err != nil {
			return nil, err
		}
		var page struct{ Tags []string }
		if err := json.Unmarshal(a.body, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Tags...)
		if path, err = next(path, a.Header.Get("Link")); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// next is the path of the page that a Link header names, as in </v2/x/tags/list?last=b>; rel="next".
func next(path, link string) (string, error) {
	_, link, _ = strings.Cut(link, "<")
	link, _, ok := strings.Cut(link, ">")
	if !ok {
		return "", nil
	}
	base, err := url.Parse(path)
	if err != nil {
		return "", err
	}
	u, err := base.Parse(link)
	if err != nil {
		return "", err
	}
	return u.RequestURI(), nil
}
