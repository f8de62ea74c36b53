package api

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/registry"
)

// reference is a tag or, where it has a colon, a digest.
func reference(r *http.Request) (repo, tag string, d digest.Digest, err error) {
	if repo, err = repository(r); err != nil {
		return
	}
	tag, d, err = parseReference(variable(r, "reference"))
	return
}

func parseReference(text string) (tag string, d digest.Digest, err error) {
	if strings.Contains(text, ":") {
		d, err = registry.ParseDigest(text)
		return
	}
	return text, "", registry.CheckTag(text)
}

func (s *server) getManifest(w http.ResponseWriter, r *http.Request) error {
	repo, tag, d, err := reference(r)
	if err != nil {
		return err
	}
	return s.sendManifest(w, r, repo, tag, d)
}

// sendManifest always answers with the bytes and the type that were pushed, whatever Accept says: nothing is converted, and a client
// that can't use the type says so better than a 404 does.
func (s *server) sendManifest(w http.ResponseWriter, r *http.Request, repo, tag string, d digest.Digest) (err error) {
	var m *registry.Manifest
	cache := cacheByDigest
	if tag != "" {
		cache = "no-cache, no-transform"
		m, err = s.registry.ManifestByTag(r.Context(), repo, tag)
	} else {
		m, err = s.registry.Manifest(r.Context(), repo, d)
	}
	if err != nil {
		return err
	}
	if done, err := contentHeaders(w, r, m.Digest, cache); done || err != nil {
		return err
	}
	w.Header().Set("Content-Type", m.MediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(m.Body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(m.Body)
	}
	return nil
}

func (s *server) putManifest(w http.ResponseWriter, r *http.Request) error {
	repo, tag, d, err := reference(r)
	if err != nil {
		return err
	}
	tags := r.URL.Query()["tag"]
	if len(tags) > s.options.MaxTags {
		return &statusError{http.StatusRequestURITooLong, registry.TagInvalid, "one request may set " + strconv.Itoa(s.options.MaxTags) + " tags (limits.tags_per_put)", nil}
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	body, err := s.readManifest(r)
	if err != nil {
		return err
	}
	push := registry.Push{
		Repo: repo, Digest: d, Tags: tags, ContentType: r.Header.Get("Content-Type"), Body: body,
		IfMatch: etags(r.Header.Values("If-Match")), IfNoneMatch: etags(r.Header.Values("If-None-Match")),
		By: visitorOf(r).name(), OnlyNew: !visitorOf(r).may(access.TagMove, repo),
	}
	if tag != "" && !slices.Contains(tags, tag) {
		push.Tags = append([]string{tag}, tags...)
	}
	pushed, err := s.registry.PushManifest(r.Context(), push)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Location", s.location("/v2/"+repo+"/manifests/"+pushed.Digest.String()))
	header.Set("Docker-Content-Digest", pushed.Digest.String())
	header.Set("ETag", `"`+pushed.Digest.String()+`"`)
	if pushed.Subject != "" {
		header.Set("OCI-Subject", pushed.Subject.String())
	}
	for _, t := range tags {
		header.Add("OCI-Tag", t)
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

// readManifest reads the body up to the limit and one byte more.
func (s *server) readManifest(r *http.Request) ([]byte, error) {
	limit := s.registry.MaxManifest()
	tooLarge := &registry.Error{Code: registry.TooLarge, Message: "the manifest is larger than the registry takes (limits.manifest)", Detail: map[string]any{"limit": limit}}
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, tooLarge
	}
	return body, nil
}

func (s *server) deleteManifest(w http.ResponseWriter, r *http.Request) error {
	repo, tag, d, err := reference(r)
	if err != nil {
		return err
	}
	if err := s.mayDelete(); err != nil {
		return err
	}
	if tag != "" {
		err = s.registry.DeleteTag(r.Context(), repo, tag)
	} else {
		err = s.registry.DeleteManifest(r.Context(), repo, d, s.options.DeleteChildren)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
