//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// errAgain is why an upload has to begin anew.
var errAgain = errors.New("the upload has to begin anew")

// putBlob uploads a blob, in one of the ways in which clients do.
func (p *pusher) putBlob(ctx context.Context, repo string, b blob) error {
	ways := []func(context.Context, string, blob) error{p.putAtOnce, p.putInTwo, p.putInChunks, p.putAsStream}
	for {
		err := ways[p.rand.IntN(len(ways))](ctx, repo, b)
		if err == nil {
			p.uploads.Add(1)
			return nil
		}
		if !p.pause(ctx) {
			return errors.Join(err, ctx.Err())
		}
	}
}

// closed looks at the answer to the request that ends an upload.
func (p *pusher) closed(r reply, err error, repo string, b blob) error {
	switch {
	case err != nil || r.status >= http.StatusInternalServerError, r.status == http.StatusNotFound, r.status == http.StatusRequestedRangeNotSatisfiable:
		return errors.Join(errAgain, err)
	case r.status != http.StatusCreated:
		p.violate("client %d: the upload of %s to %s was answered with %d: %s", p.id, b.Digest, repo, r.status, r.body)
		return errAgain
	}
	return nil
}

func (p *pusher) putAtOnce(ctx context.Context, repo string, b blob) error {
	r, err := p.send(ctx, p.anyReplica(), http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+url.QueryEscape(b.Digest), octets(nil), b.body)
	return p.closed(r, err, repo, b)
}

func octets(header http.Header) http.Header {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/octet-stream")
	return header
}

// open begins an upload; now and then it tries to mount the blob from another repository first, and says so if that worked.
func (p *pusher) open(ctx context.Context, repo string, b blob) (location string, mounted bool, err error) {
	path := "/v2/" + repo + "/blobs/uploads/"
	if p.rand.IntN(2) == 0 {
		path += "?mount=" + url.QueryEscape(b.Digest) + "&from=" + url.QueryEscape(anyOf(p.rand, repositories()))
	}
	r, err := p.send(ctx, p.anyReplica(), http.MethodPost, path, nil, "")
	switch {
	case err != nil || r.status >= http.StatusInternalServerError:
		return "", false, errors.Join(errAgain, err)
	case r.status == http.StatusCreated && strings.Contains(path, "mount="):
		p.mounts.Add(1)
		return "", true, nil
	case r.status != http.StatusAccepted:
		p.violate("client %d: POST %s was answered with %d: %s", p.id, path, r.status, r.body)
		return "", false, errAgain
	}
	return r.header.Get("Location"), false, nil
}

func (p *pusher) finish(ctx context.Context, location string, repo string, b blob, rest string) error {
	separator := "?"
	if strings.Contains(location, "?") {
		separator = "&"
	}
	r, err := p.send(ctx, p.anyReplica(), http.MethodPut, location+separator+"digest="+url.QueryEscape(b.Digest), octets(nil), rest)
	if err != nil && p.rand.IntN(2) == 0 { // some ask once more
		r, err = p.send(ctx, p.anyReplica(), http.MethodPut, location+separator+"digest="+url.QueryEscape(b.Digest), octets(nil), rest)
	}
	return p.closed(r, err, repo, b)
}

func (p *pusher) putInTwo(ctx context.Context, repo string, b blob) error {
	location, mounted, err := p.open(ctx, repo, b)
	if err != nil || mounted {
		return err
	}
	return p.finish(ctx, location, repo, b, b.body)
}

// putAsStream sends all in one PATCH, as docker does.
func (p *pusher) putAsStream(ctx context.Context, repo string, b blob) error {
	location, mounted, err := p.open(ctx, repo, b)
	if err != nil || mounted {
		return err
	}
	r, err := p.send(ctx, p.anyReplica(), http.MethodPatch, location, octets(nil), b.body)
	if err != nil || r.status != http.StatusAccepted {
		return errors.Join(errAgain, err)
	}
	return p.finish(ctx, r.header.Get("Location"), repo, b, "")
}

// putInChunks sends chunks, and goes on from where the registry says after a break.
func (p *pusher) putInChunks(ctx context.Context, repo string, b blob) error {
	location, mounted, err := p.open(ctx, repo, b)
	if err != nil || mounted {
		return err
	}
	chunk := max(len(b.body)/(2+p.rand.IntN(4)), 1)
	for at := 0; at < len(b.body); {
		end := min(at+chunk, len(b.body))
		header := octets(http.Header{"Content-Range": {fmt.Sprintf("%d-%d", at, end-1)}})
		r, err := p.send(ctx, p.anyReplica(), http.MethodPatch, location, header, b.body[at:end])
		if err == nil && r.status == http.StatusAccepted {
			at, location = end, r.header.Get("Location")
			continue
		}
		if !p.pause(ctx) {
			return errors.Join(err, ctx.Err())
		}
		r, err = p.read(ctx, http.MethodGet, location)
		if err != nil || r.status != http.StatusNoContent {
			return errors.Join(errAgain, err)
		}
		_, last, ok := strings.Cut(r.header.Get("Range"), "-")
		n, err := strconv.Atoi(last)
		if !ok || err != nil || n+1 > len(b.body) {
			p.violate("client %d: an upload of %d bytes stands at %q", p.id, len(b.body), r.header.Get("Range"))
			return errAgain
		}
		if at, location = n+1, r.header.Get("Location"); n == 0 {
			at = 0 // 0-0 is said of an empty one; of one with a single byte, too, and that is refused then
		}
		p.resumed.Add(1)
	}
	if err := p.finish(ctx, location, repo, b, ""); err != nil {
		return err
	}
	p.chunked.Add(1)
	return nil
}
