package api

import (
	"net/http"
	"net/url"
	"strconv"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/longshore-registry/longshore/access"
)

// pageSize reads n. What is larger than the registry serves is cut quietly: the Link leads on.
func (s *server) pageSize(query url.Values) (int, error) {
	if !query.Has("n") {
		return s.options.PageSize, nil
	}
	n, err := strconv.ParseUint(query.Get("n"), 10, 63)
	if err != nil {
		return 0, &statusError{http.StatusBadRequest, paginationInvalid, "n has to be a number, 0 or more", err}
	}
	return int(min(n, uint64(s.options.MaxPageSize))), nil
}

// linkNext points to the page after last. Whatever else the client asked for stays in it.
func (s *server) linkNext(w http.ResponseWriter, r *http.Request, last string, n int) {
	query := r.URL.Query()
	query.Set("last", last)
	query.Set("n", strconv.Itoa(n))
	w.Header().Set("Link", "<"+s.location(r.URL.EscapedPath()+"?"+query.Encode())+`>; rel="next"`)
}

func (s *server) tags(w http.ResponseWriter, r *http.Request) error {
	repo, err := repository(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	n, err := s.pageSize(query)
	if err != nil {
		return err
	}
	tags, more, err := s.registry.Tags(r.Context(), repo, query.Get("last"), n)
	if err != nil {
		return err
	}
	if more {
		s.linkNext(w, r, tags[len(tags)-1], n)
	}
	return writeJSON(w, http.StatusOK, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{repo, tags})
}

func (s *server) catalog(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	n, err := s.pageSize(query)
	if err != nil {
		return err
	}
	visitor := visitorOf(r)
	if visitor != nil && !visitor.allowed(access.Catalogue, "") {
		return s.visibleCatalog(w, r, visitor, n)
	}
	repos, more, err := s.registry.Catalog(r.Context(), query.Get("last"), n)
	if err != nil {
		return err
	}
	if more {
		s.linkNext(w, r, repos[len(repos)-1], n)
	}
	return writeCatalog(w, repos)
}

// afterParameter is the query parameter of a Link that says where a page goes on, if no name that the client may see does.
const afterParameter = "_after"

// visibleCatalog answers with what the visitor may pull. Who has not said who he is, and sees nothing, is asked.
func (s *server) visibleCatalog(w http.ResponseWriter, r *http.Request, v *visitor, n int) error {
	query := r.URL.Query()
	after := query.Get(afterParameter)
	repos, more, next, err := s.registry.VisibleCatalog(r.Context(), query.Get("last"), after, n, func(repo string) bool { return v.allowed(access.Pull, repo) })
	if err != nil {
		return err
	}
	if !v.known && len(repos) == 0 && !more && after == "" && n > 0 {
		w.Header().Set("WWW-Authenticate", s.challenge(r, lists.scope("", query), ""))
		return &statusError{http.StatusUnauthorized, unauthorized, "authentication required", nil}
	}
	if more {
		last := query.Get("last")
		if len(repos) > 0 {
			last = repos[len(repos)-1]
		}
		query.Del(afterParameter)
		if next != "" {
			query.Set(afterParameter, next)
		}
		r.URL.RawQuery = query.Encode()
		s.linkNext(w, r, last, n)
	}
	return writeCatalog(w, repos)
}

func writeCatalog(w http.ResponseWriter, repos []string) error {
	return writeJSON(w, http.StatusOK, struct {
		Repositories []string `json:"repositories"`
	}{repos})
}

func (s *server) referrers(w http.ResponseWriter, r *http.Request) error {
	repo, d, err := repositoryAndDigest(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	n, err := s.pageSize(query)
	if err != nil {
		return err
	}
	if n == 0 {
		n = s.options.PageSize // the spec has no n here; 0 would lead nowhere
	}
	var artifactType *string
	if query.Has("artifactType") {
		t := query.Get("artifactType")
		artifactType = &t
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	list, next, err := s.registry.Referrers(r.Context(), repo, d, artifactType, query.Get("last"), n)
	if err != nil {
		return err
	}
	if next != "" {
		s.linkNext(w, r, next, n)
	}
	index := v1.Index{MediaType: v1.MediaTypeImageIndex, Manifests: list}
	index.SchemaVersion = 2
	return writeJSONAs(w, http.StatusOK, v1.MediaTypeImageIndex, index)
}

// search answers docker search: GET /v1/search of Docker's first registry API.
func (s *server) search(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	const usual, most = 25, 100
	n := usual
	if text := query.Get("n"); text != "" {
		asked, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return &statusError{http.StatusBadRequest, paginationInvalid, "n has to be a number, 0 or more", err}
		}
		n = int(min(asked, most))
	}
	var visible func(string) bool
	if v := visitorOf(r); v != nil && !v.allowed(access.Catalogue, "") {
		visible = func(repo string) bool { return v.allowed(access.Pull, repo) }
	}
	repos, err := s.registry.Search(r.Context(), query.Get("q"), n, visible)
	if err != nil {
		return err
	}
	type result struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Stars       int    `json:"star_count"`
		Official    bool   `json:"is_official"`
		Automated   bool   `json:"is_automated"`
	}
	results := make([]result, len(repos))
	for i, repo := range repos {
		results[i].Name = repo
	}
	return writeJSON(w, http.StatusOK, struct {
		Count   int      `json:"num_results"`
		Query   string   `json:"query"`
		Results []result `json:"results"`
	}{len(results), query.Get("q"), results})
}

func (s *server) deleteRepository(w http.ResponseWriter, r *http.Request) error {
	repo, err := repository(r)
	if err != nil {
		return err
	}
	if err := s.mayDeleteRepositories(); err != nil {
		return err
	}
	if err := s.registry.DeleteRepository(r.Context(), repo); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
