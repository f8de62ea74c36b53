//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/longshore-registry/longshore/internal/testimage"
)

// counts are what all clients of a test have done.
type counts struct {
	pushes, moves, deletes, pulls, mounts, uploads, chunked atomic.Int64 // that succeeded
	brokenOff                                               atomic.Int64 // requests that were sent and got no answer
	busy                                                    atomic.Int64 // answers with 5xx
	resumed                                                 atomic.Int64 // uploads that went on after a break
	refused                                                 atomic.Int64 // manifests, since a blob was collected that the client had found
	givenUp                                                 atomic.Int64 // pushes that took too long, and abandoned uploads
}

// A blob is the bytes of a layer or a config.
type blob struct {
	testimage.Descriptor
	body string
}

func makeBlob(mediaType, body string) blob { return blob{describe(mediaType, body), body} }

// String tells what clients did.
func (c *counts) String() string {
	return fmt.Sprintf("%d pushes acknowledged, %d of them moved a tag, %d deletes, %d whole pulls, %d blobs uploaded, %d in chunks of which %d went on after a break, %d mounted; "+
		"%d requests without an answer, %d answered with 5xx, %d manifests refused for a blob that was collected, %d pushes and uploads abandoned",
		c.pushes.Load(), c.moves.Load(), c.deletes.Load(), c.pulls.Load(), c.uploads.Load(), c.chunked.Load(), c.resumed.Load(), c.mounts.Load(),
		c.brokenOff.Load(), c.busy.Load(), c.refused.Load(), c.givenUp.Load())
}

// A pusher is a client that tries things again, at another replica if there are several, as real clients do, and that notes
// what it was told.
type pusher struct {
	*fleet
	id   int
	rand *rand.Rand
	http *http.Client
	next int // number of the next image
}

// A fleet is what all clients of a test share.
type fleet struct {
	*ledger
	*counts
	targets  []string // host:port of each replica, as clients reach it
	patience time.Duration
	blobs    []blob // layers that images share
	images   []image
	violate  func(format string, args ...any) // the registry did what it must not
	grep     func(text string) []string       // lines of all replicas' logs
}

// wrong is violate for a name: it tells all that was done to it.
func (f *fleet) wrong(n *name, format string, args ...any) {
	f.violate("%s\n%v\n%s", fmt.Sprintf(format, args...), n, strings.Join(f.grep(n.repo+"/manifests/"+n.reference), "\n"))
}

// An image is a manifest and the blobs that it names.
type image struct {
	digest string
	body   string
	blobs  []blob
}

// makeImage puts blobs together, of which the first is the config.
func makeImage(blobs ...blob) image {
	m := testimage.Manifest{SchemaVersion: 2, MediaType: testimage.MediaTypeManifest, Config: &blobs[0].Descriptor}
	for _, b := range blobs[1:] {
		m.Layers = append(m.Layers, b.Descriptor)
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // a struct of texts and numbers
	}
	return image{describe("", string(body)).Digest, string(body), blobs}
}

// makeConfig is a config that no other image has.
func makeConfig(author string) blob {
	return makeBlob(testimage.MediaTypeConfig, fmt.Sprintf(`{"architecture":"amd64","os":"linux","author":%q,"rootfs":{"type":"layers","diff_ids":[]}}`, author))
}

// shared makes the layers, and a few images of them, that all clients push again and again.
func (f *fleet) shared(seed uint64, sizes []float64) {
	for i, size := range sizes {
		f.blobs = append(f.blobs, makeBlob("application/octet-stream", random(seed+uint64(i), int64(size))))
	}
	for i := range 8 {
		f.images = append(f.images, makeImage(makeConfig(fmt.Sprintf("shared %d", i)), f.blobs[i], f.blobs[i+2]))
	}
}

// A reply is a response whose body has been read.
type reply struct {
	status  int
	header  http.Header
	body    string
	replica int
}

// text says how a request was answered.
func (r reply) text(err error) string {
	if err != nil {
		return err.Error()
	}
	return strconv.Itoa(r.status)
}

// send asks one replica once. Its error means that there was no answer, and that what was asked for may have been done.
func (p *pusher) send(ctx context.Context, replica int, method, path string, header http.Header, body string) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	if !strings.HasPrefix(path, "http://") {
		path = "http://" + p.targets[replica] + path
	}
	req, err := http.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for key, values := range header {
		req.Header[key] = values
	}
	res, err := p.http.Do(req)
	if err != nil {
		if !errors.Is(err, syscall.ECONNREFUSED) {
			p.brokenOff.Add(1)
		}
		return reply{replica: replica}, err
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		p.brokenOff.Add(1)
		return reply{replica: replica}, err
	}
	if res.StatusCode >= http.StatusInternalServerError {
		p.busy.Add(1)
	}
	return reply{res.StatusCode, res.Header, string(text), replica}, nil
}

// anyReplica chooses one.
func (p *pusher) anyReplica() int { return p.rand.IntN(len(p.targets)) }

// pause waits a moment before the next attempt. It reports false if ctx has ended.
func (p *pusher) pause(ctx context.Context) bool {
	select {
	case <-time.After(time.Duration(5+p.rand.IntN(30)) * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// read asks until there is an answer that is not 5xx.
func (p *pusher) read(ctx context.Context, method, path string) (reply, error) {
	for {
		r, err := p.send(ctx, p.anyReplica(), method, path, http.Header{"Accept": {accept}}, "")
		if err == nil && r.status < http.StatusInternalServerError {
			return r, nil
		}
		if !p.pause(ctx) {
			return r, errors.Join(err, ctx.Err())
		}
	}
}

// push uploads an image and points the tag at it, or at nothing if the tag is "". It reports whether the registry said that it was done.
func (p *pusher) push(ctx context.Context, repo, tag string, im image) bool {
	careful := p.rand.IntN(2) == 0 // asks first what is there
	for {
		since := time.Now()
		sure := true
		for _, b := range im.blobs {
			if careful {
				r, err := p.read(ctx, http.MethodHead, "/v2/"+repo+"/blobs/"+b.Digest)
				if err == nil && r.status == http.StatusOK {
					sure = false
					continue
				}
			}
			if p.putBlob(ctx, repo, b) != nil {
				p.givenUp.Add(1)
				return false
			}
		}
		r, err := p.putManifest(ctx, repo, tag, im)
		switch {
		case err != nil:
			p.givenUp.Add(1)
			return false
		case r.status == http.StatusCreated:
			p.pushes.Add(1)
			return true
		case strings.Contains(r.body, "MANIFEST_BLOB_UNKNOWN") && (!sure || time.Since(since) > hurriedGrace/2):
			p.refused.Add(1)
			careful = false
		default:
			p.violate("client %d: the manifest %s of %s:%s was answered with %d: %s", p.id, im.digest, repo, tag, r.status, r.body)
			return false
		}
	}
}

// putManifest asks until there is an answer, and notes what it may have done.
func (p *pusher) putManifest(ctx context.Context, repo, tag string, im image) (reply, error) {
	names := []*name{p.of(repo, im.digest)}
	reference := im.digest
	if tag != "" {
		names, reference = append(names, p.of(repo, tag)), tag
	}
	header := http.Header{"Content-Type": {testimage.MediaTypeManifest}}
	for {
		replica := p.anyReplica()
		r, err := p.act(names, replica, im.digest, func() (reply, error) {
			return p.send(ctx, replica, http.MethodPut, "/v2/"+repo+"/manifests/"+reference, header, im.body)
		})
		if err == nil && r.status < http.StatusInternalServerError {
			return r, nil
		}
		if !p.pause(ctx) {
			return r, errors.Join(err, ctx.Err())
		}
	}
}

// act notes what a request may have done to names, and what came of it.
func (p *pusher) act(names []*name, replica int, digest string, request func() (reply, error)) (reply, error) {
	acts := make([]*act, len(names))
	for i, n := range names {
		acts[i] = n.begin(p.id, replica, digest)
	}
	r, err := request()
	for i, n := range names {
		done := err == nil && (r.status == http.StatusCreated || r.status == http.StatusAccepted)
		// A manifest that was refused may be there all the same, without a tag.
		refused := err == nil && r.status >= 400 && r.status < 500 && !strings.Contains(n.reference, ":") || errors.Is(err, syscall.ECONNREFUSED)
		n.end(acts[i], r.text(err), done, refused)
	}
	return r, err
}

// delete removes names by a DELETE of the first of them. 404 is an answer only if the name may have been gone.
func (p *pusher) delete(ctx context.Context, names ...*name) bool {
	for {
		before := names[0].allowed()
		replica := p.anyReplica()
		r, err := p.act(names, replica, "", func() (reply, error) {
			return p.send(ctx, replica, http.MethodDelete, "/v2/"+names[0].repo+"/manifests/"+names[0].reference, nil, "")
		})
		switch {
		case err == nil && r.status == http.StatusAccepted:
			p.deletes.Add(1)
			return true
		case err == nil && r.status == http.StatusNotFound:
			if !before[""] {
				p.wrong(names[0], "DELETE by client %d was answered with 404", p.id)
			}
			return false
		case err == nil && r.status < http.StatusInternalServerError:
			p.wrong(names[0], "DELETE by client %d was answered with %d: %s", p.id, r.status, r.body)
			return false
		case !p.pause(ctx):
			return false
		}
	}
}

// check reads what a name stands for and, if that is an image, all of it. Nobody else may change the name meanwhile. seen has the blobs of
// repositories that need not be read again; it may be nil.
func (p *pusher) check(ctx context.Context, n *name, seen map[string]bool) (digest string) {
	may := n.allowed()
	path := "/v2/" + n.repo + "/manifests/"
	r, err := p.read(ctx, http.MethodGet, path+n.reference)
	if err != nil {
		return "" // no answer in time
	}
	switch r.status {
	case http.StatusNotFound:
	case http.StatusOK:
		digest = describe("", r.body).Digest
		if told := r.header.Get("Docker-Content-Digest"); told != digest {
			p.wrong(n, "the manifest has the digest %s, the header says %s", digest, told)
		}
	default:
		p.wrong(n, "GET from replica %d was answered with %d: %s", r.replica, r.status, r.body)
		return ""
	}
	if !may[digest] {
		p.wrong(n, "GET from replica %d was answered with %d: %q, allowed were %q", r.replica, r.status, digest, slices.Sorted(maps.Keys(may)))
		return digest
	}
	if digest == "" || strings.Contains(n.reference, ":") && len(may) > 1 {
		return digest // a manifest whose push was not answered may lack something
	}
	var m testimage.Manifest
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		p.wrong(n, "the manifest: %v", err)
		return digest
	}
	for _, d := range blobs(m) {
		if seen[n.repo+d.Digest] {
			continue
		}
		r, err := p.read(ctx, http.MethodGet, "/v2/"+n.repo+"/blobs/"+d.Digest)
		if err != nil {
			return digest
		}
		if got := describe("", r.body); r.status != http.StatusOK || got.Digest != d.Digest || got.Size != d.Size {
			p.wrong(n, "its blob %s: replica %d answered with %d, %d bytes with the digest %s", d.Digest, r.replica, r.status, got.Size, got.Digest)
		}
		if seen != nil {
			seen[n.repo+d.Digest] = true
		}
	}
	p.pulls.Add(1)
	return digest
}

func anyOf[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }
