package api

import (
	"net/http"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/registry"
)

// historyPage is how many entries of a tag's history are on a page when the client names no number: each is read by itself.
const historyPage = 100

// tagParameter reads the repository in the path and the tag in the query.
func tagParameter(r *http.Request) (repo, tag string, err error) {
	if repo, err = repository(r); err != nil {
		return
	}
	tag = r.URL.Query().Get("tag")
	return repo, tag, registry.CheckTag(tag)
}

// historySize is pageSize with fewer entries by default; a page of none would lead nowhere.
func (s *server) historySize(r *http.Request) (int, error) {
	query := r.URL.Query()
	n, err := s.pageSize(query)
	if !query.Has("n") || n == 0 {
		n = min(historyPage, s.options.MaxPageSize)
	}
	return n, err
}

// tagHistory answers GET of what a tag pointed at before.
func (s *server) tagHistory(w http.ResponseWriter, r *http.Request) error {
	repo, tag, err := tagParameter(r)
	if err != nil {
		return err
	}
	n, err := s.historySize(r)
	if err != nil {
		return err
	}
	var now *registry.Tag
	if t, err := s.registry.Tag(r.Context(), repo, tag); err == nil {
		now = &t
	} else if !registry.HasCode(err, registry.ManifestUnknown) {
		return err
	}
	list, next, err := s.registry.TagHistory(r.Context(), repo, tag, r.URL.Query().Get("last"), n)
	if err != nil {
		return err
	}
	if now == nil && len(list) == 0 && !r.URL.Query().Has("last") {
		return &registry.Error{Code: registry.ManifestUnknown, Message: "there is no such tag, and its history has nothing", Detail: map[string]any{"name": repo, "tag": tag}}
	}
	if next != "" {
		s.linkNext(w, r, next, n)
	}
	return writeJSON(w, http.StatusOK, struct {
		Name    string             `json:"name"`
		Tag     string             `json:"tag"`
		Now     *registry.Tag      `json:"now"` // null if it was deleted
		History []registry.PastTag `json:"history"`
	}{repo, tag, now, list})
}

// deletedTags answers GET of the tags that can be restored.
func (s *server) deletedTags(w http.ResponseWriter, r *http.Request) error {
	repo, err := repository(r)
	if err != nil {
		return err
	}
	n, err := s.historySize(r)
	if err != nil {
		return err
	}
	tags, next, err := s.registry.PastTags(r.Context(), repo, r.URL.Query().Get("last"), n)
	if err != nil {
		return err
	}
	if next != "" {
		s.linkNext(w, r, next, n)
	}
	return writeJSON(w, http.StatusOK, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{repo, tags})
}

// restoreTag answers POST, as PUT of the manifest would be answered.
func (s *server) restoreTag(w http.ResponseWriter, r *http.Request) error {
	repo, tag, err := tagParameter(r)
	if err != nil {
		return err
	}
	to := digest.Digest("")
	if query := r.URL.Query(); query.Has("digest") {
		if to, err = registry.ParseDigest(query.Get("digest")); err != nil {
			return err
		}
	}
	d, err := s.registry.RestoreTag(r.Context(), repo, tag, to, visitorOf(r).name())
	if err != nil {
		return err
	}
	w.Header().Set("Location", s.location("/v2/"+repo+"/manifests/"+d.String()))
	w.Header().Set("Docker-Content-Digest", d.String())
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (s *server) restoreRepository(w http.ResponseWriter, r *http.Request) error {
	repo, err := repository(r)
	if err != nil {
		return err
	}
	if err := s.mayDeleteRepositories(); err != nil {
		return err
	}
	restored, err := s.registry.RestoreRepository(r.Context(), repo, visitorOf(r).name())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, restored)
}

// mayDeleteRepositories refuses what is switched off.
func (s *server) mayDeleteRepositories() error {
	if err := s.mayDelete(); err != nil {
		return err
	}
	if !s.options.DeleteRepositories {
		return &registry.Error{Code: registry.Unsupported, Message: "deletion of whole repositories is switched off (delete.repositories)"}
	}
	return nil
}
