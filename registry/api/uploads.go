package api

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/registry"
)

// stateParameter is the query parameter of a Location that carries the session.
const stateParameter = "_state"

func (s *server) startUpload(w http.ResponseWriter, r *http.Request) error {
	repo, err := repository(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	var algorithm digest.Algorithm
	if query.Has("digest-algorithm") {
		if algorithm, err = registry.ParseAlgorithm(query.Get("digest-algorithm")); err != nil {
			return err
		}
	}
	if query.Has("mount") {
		d, err := registry.ParseDigest(query.Get("mount"))
		if err != nil {
			return err
		}
		algorithm = d.Algorithm()
		mounted, err := s.mount(r, repo, d, query)
		if err != nil {
			return err
		}
		if mounted {
			s.blobCreated(w, repo, d)
			return nil
		}
	} else if query.Has("digest") {
		d, err := oneDigest(query)
		if err != nil {
			return err
		}
		algorithm = d.Algorithm()
		// A POST without a body asks for a session, unless the blob is empty.
		if r.ContentLength != 0 || d == algorithm.FromBytes(nil) {
			if err := s.registry.PutBlob(r.Context(), repo, registry.Chunk{Body: r.Body, Length: r.ContentLength}, d); err != nil {
				return err
			}
			s.blobCreated(w, repo, d)
			return nil
		}
	}
	u, err := s.registry.StartUpload(repo, algorithm)
	if err != nil {
		return err
	}
	s.uploadHeaders(w, u)
	if s.options.MinChunk > 0 {
		w.Header().Set("OCI-Chunk-Min-Length", strconv.FormatInt(s.options.MinChunk, 10))
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// mount tries the repository that the client names, or else those that are known to have had the blob. One that the client may not pull from is as one
// that lacks the blob.
func (s *server) mount(r *http.Request, repo string, d digest.Digest, query url.Values) (bool, error) {
	sources := []string{query.Get("from")}
	visitor := visitorOf(r)
	if sources[0] == "" {
		sources = slices.DeleteFunc(slices.Clone(s.registry.Holders(d)), func(repo string) bool { return !visitor.may(access.Pull, repo) })
	} else if registry.CheckName(sources[0]) == nil && !visitor.may(access.Pull, sources[0]) {
		return false, s.registry.MountNothing(r.Context(), d)
	}
	for _, from := range sources {
		mounted, err := s.registry.Mount(r.Context(), repo, from, d)
		if mounted || err != nil {
			return mounted, err
		}
	}
	return false, nil
}

func (s *server) blobCreated(w http.ResponseWriter, repo string, d digest.Digest) {
	w.Header().Set("Location", s.location("/v2/"+repo+"/blobs/"+d.String()))
	w.Header().Set("Docker-Content-Digest", d.String())
	w.WriteHeader(http.StatusCreated)
}

func oneDigest(query url.Values) (digest.Digest, error) {
	if all := query["digest"]; len(all) != 1 {
		return "", &registry.Error{Code: registry.DigestInvalid, Message: "the request needs one digest parameter", Detail: map[string]any{"given": len(all)}}
	}
	return registry.ParseDigest(query.Get("digest"))
}

func (s *server) uploadHeaders(w http.ResponseWriter, u registry.Upload) {
	if u.ID == "" {
		return
	}
	header := w.Header()
	header.Set("Location", s.location("/v2/"+u.Repo+"/blobs/uploads/"+u.ID+"?"+stateParameter+"="+u.Value))
	header.Set("Docker-Upload-UUID", u.ID)
	header.Set("Range", fmt.Sprintf("0-%d", max(u.Offset-1, 0))) // an empty session has no range of its own; clients expect this one
}

// uploadOf gives the session that a request names.
func uploadOf(r *http.Request) (repo, id, value string, err error) {
	repo, err = repository(r)
	return repo, variable(r, "id"), r.URL.Query().Get(stateParameter), err
}

func (s *server) uploadStatus(w http.ResponseWriter, r *http.Request) error {
	repo, id, value, err := uploadOf(r)
	if err != nil {
		return err
	}
	u, err := s.registry.UploadStatus(r.Context(), repo, id, value)
	if err != nil {
		return err
	}
	s.uploadHeaders(w, u)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) patchUpload(w http.ResponseWriter, r *http.Request) error {
	repo, id, value, err := uploadOf(r)
	if err != nil {
		return err
	}
	chunk, rangeErr := chunkOf(r)
	if rangeErr != nil {
		return s.refuseRange(w, r, repo, id, value, rangeErr)
	}
	u, err := s.registry.Append(r.Context(), repo, id, value, chunk)
	s.uploadHeaders(w, u)
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (s *server) putUpload(w http.ResponseWriter, r *http.Request) error {
	repo, id, value, err := uploadOf(r)
	if err != nil {
		return err
	}
	chunk, rangeErr := chunkOf(r)
	if rangeErr != nil {
		return s.refuseRange(w, r, repo, id, value, rangeErr)
	}
	d, err := oneDigest(r.URL.Query())
	if err != nil {
		return err
	}
	u, err := s.registry.Finish(r.Context(), repo, id, value, chunk, d)
	if err != nil {
		s.uploadHeaders(w, u)
		return err
	}
	s.blobCreated(w, repo, d)
	return nil
}

// refuseRange answers a Content-Range that is none, with where the session stands.
func (s *server) refuseRange(w http.ResponseWriter, r *http.Request, repo, id, value string, rangeErr error) error {
	u, err := s.registry.UploadStatus(r.Context(), repo, id, value)
	if err != nil {
		return err
	}
	s.uploadHeaders(w, u)
	return rangeErr
}

func (s *server) cancelUpload(w http.ResponseWriter, r *http.Request) error {
	repo, id, value, err := uploadOf(r)
	if err != nil {
		return err
	}
	if err := s.registry.CancelUpload(r.Context(), repo, id, value); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// contentRange is "0-9" as the spec has it, and what some clients send: "bytes 0-9/*", "bytes=0-9".
var contentRange = regexp.MustCompile(`^(?:bytes[ =])?([0-9]{1,18})-([0-9]{1,18})(?:/(?:\*|[0-9]{1,18}))?$`)

func chunkOf(r *http.Request) (registry.Chunk, error) {
	c := registry.Chunk{Body: r.Body, Length: r.ContentLength}
	text := strings.TrimSpace(r.Header.Get("Content-Range"))
	if text == "" {
		return c, nil
	}
	m := contentRange.FindStringSubmatch(text)
	if m == nil {
		return c, &registry.Error{Code: registry.RangeInvalid, Message: "Content-Range has to be like 0-9", Detail: map[string]any{"Content-Range": text}}
	}
	c.Ranged = true
	c.Start, _ = strconv.ParseInt(m[1], 10, 64)
	c.End, _ = strconv.ParseInt(m[2], 10, 64)
	// A chunk of no bytes can't be written as a range; some clients send "0-0" or the range before the end for it.
	if c.Length == 0 {
		c.Ranged = false
		return c, nil
	}
	if c.End < c.Start {
		return c, &registry.Error{Code: registry.RangeInvalid, Message: "Content-Range ends before it begins", Detail: map[string]any{"Content-Range": text}}
	}
	return c, nil
}
