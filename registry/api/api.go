// Package api answers the OCI Distribution API, and Docker's dialects of it, over a
// registry.Registry.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry"
)

type server struct {
	registry *registry.Registry
	router   http.Handler
	options  Options
	rates    *rates // nil: as many requests as clients like
	log      *slog.Logger
}

// New returns the handler of the whole API: /v2/ of the OCI distribution spec, /v1/search of Docker's
// registry, /token of Docker's token protocol, and /livez and /readyz for whoever watches the process.
func New(r *registry.Registry, o Options) http.Handler {
	o.IdleTimeout = cmp.Or(o.IdleTimeout, time.Minute)
	o.MaxTags = cmp.Or(o.MaxTags, 100)
	o.MaxPageSize = cmp.Or(o.MaxPageSize, 1000)
	o.PageSize = min(cmp.Or(o.PageSize, 1000), o.MaxPageSize)
	o.Redirect.MinSize = cmp.Or(o.Redirect.MinSize, 64<<10)
	o.Redirect.Life = cmp.Or(o.Redirect.Life, 20*time.Minute)
	o.PublicURL = strings.TrimSuffix(o.PublicURL, "/")
	s := &server{registry: r, options: o, log: o.Log, rates: newRates(o.Rate)}
	if s.log == nil {
		s.log = slog.Default()
	}

	// Paths are matched as they were sent: nothing is cleaned, joined or redirected, since a
	// redirect of a PUT loses its body and "%2F" is not "/".
	m := mux.NewRouter().UseEncodedPath().SkipClean(true)
	m.NotFoundHandler = s.handle(func(http.ResponseWriter, *http.Request) error {
		return &statusError{http.StatusNotFound, "NOT_FOUND", "there is nothing at this path", nil}
	})
	route := func(path string, all methods) *mux.Route {
		return m.Handle(path, s.handle(func(w http.ResponseWriter, r *http.Request) error { return s.serve(w, r, all) }))
	}
	const name = "/v2/{name:.+}"
	both := func(need right, h handler) methods { return methods{"GET": {need, h, ""}, "HEAD": {need, h, ""}} }
	route("/livez", both(anyone, s.live))
	route("/readyz", both(anyone, s.ready))
	route("/v1/search", both(lists, s.search))
	route("/v1/_ping", both(anyone, s.live))
	if o.Tokens != nil {
		route(tokenPath, methods{"GET": {anyone, s.token, ""}, "POST": {anyone, s.token, ""}})
	}
	for _, path := range []string{"/v2", "/v2/"} {
		route(path, both(logsIn, s.base))
	}
	for _, path := range []string{"/v2/_catalog", "/v2/_catalog/"} {
		route(path, both(lists, s.catalog))
	}
	route(name+"/tags/list", both(reads, s.tags))
	route(name+"/referrers/{digest:[^/]+}", both(reads, s.referrers))
	route(name+"/manifests/{reference:[^/]+}", methods{
		"GET": {reads, s.getManifest, ""}, "HEAD": {looks, s.getManifest, ""},
		"PUT": {pushes, s.putManifest, access.EventPush}, "DELETE": {deletes, s.deleteManifest, access.EventDelete},
	})
	for _, path := range []string{"/blobs/uploads", "/blobs/uploads/"} {
		route(name+path, methods{"POST": {pushes, s.startUpload, ""}})
	}
	route(name+"/blobs/uploads/{id:[^/]+}", methods{
		"GET": {uploads, s.uploadStatus, ""}, "HEAD": {uploads, s.uploadStatus, ""}, "PATCH": {uploads, s.patchUpload, ""},
		"PUT": {uploads, s.putUpload, ""}, "DELETE": {uploads, s.cancelUpload, ""},
	})
	route(name+"/blobs/{digest:[^/]+}", methods{
		"GET": {reads, s.getBlob, ""}, "HEAD": {looks, s.getBlob, ""}, "DELETE": {deletes, s.deleteBlob, access.EventDelete},
	})
	// Ours, by the rule for names of extensions: https://github.com/opencontainers/distribution-spec/blob/main/extensions/README.md
	const ours = name + "/_longshore"
	route(ours+"/tags/history", both(reads, s.tagHistory))
	route(ours+"/tags/deleted", both(reads, s.deletedTags))
	route(ours+"/tags/restore", methods{"POST": {deletes, s.restoreTag, access.EventRestore}})
	route(ours+"/repository/contents", methods{"DELETE": {deletes, s.deleteRepository, access.EventDelete}})
	route(ours+"/repository/restore", methods{"POST": {deletes, s.restoreRepository, access.EventRestore}})
	// To any other method this path is one of those that do not exist, which end in a slash as well.
	route(name+"/", methods{"DELETE": {deletes, s.deleteRepository, access.EventDelete}}).MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool {
		return r.Method == http.MethodDelete
	})
	s.router = m
	return s
}

// ServeHTTP answers a request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := s.shortcut(r); h != nil {
		s.answer(w, r, h)
		return
	}
	s.router.ServeHTTP(w, r)
}

// shortcut is the endpoint of the requests that there are most of, those that read a manifest or a blob, if all in their path is
// valid. For any other it returns nil: the router, which tries one regular expression after another, says what it is.
func (s *server) shortcut(r *http.Request) handler {
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	slash := strings.LastIndexByte(path, '/')
	if !ok || slash < 0 || r.URL.RawPath != "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil
	}
	path, last := path[:slash], path[slash+1:]
	if repo, ok := strings.CutSuffix(path, "/manifests"); ok && registry.CheckName(repo) == nil {
		if tag, d, err := parseReference(last); err == nil {
			return s.admitting(readsBy(r.Method), repo, func(w http.ResponseWriter, r *http.Request) error { return s.sendManifest(w, r, repo, tag, d) })
		}
	} else if repo, ok := strings.CutSuffix(path, "/blobs"); ok && registry.CheckName(repo) == nil {
		if d, err := registry.ParseDigest(last); err == nil {
			return s.admitting(readsBy(r.Method), repo, func(w http.ResponseWriter, r *http.Request) error { return s.sendBlob(w, r, repo, d) })
		}
	}
	return nil
}

// handler is an endpoint. Before it has written anything it may return an error, which becomes the
// answer.
type handler func(http.ResponseWriter, *http.Request) error

// methods are the endpoints of one path.
type methods map[string]endpoint

// endpoint is a handler with what a client needs to come to it.
type endpoint struct {
	need  right
	serve handler
	event string // what the audit log calls it; "" if it is not written there
}

// serve picks the endpoint. To an answer of 405 it adds the methods that remain (RFC 9110, section 15.5.6).
func (s *server) serve(w http.ResponseWriter, r *http.Request, all methods) error {
	var err error = &statusError{http.StatusMethodNotAllowed, registry.Unsupported, "this path does not have that method", nil}
	if e, ok := all[r.Method]; ok {
		err = s.enter(w, r, e)
	}
	if err == nil {
		return nil
	}
	if status, _ := explain(err); status == http.StatusMethodNotAllowed {
		others := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(method string) bool { return method == r.Method })
		w.Header().Set("Allow", strings.Join(others, ", "))
	}
	return err
}

func (s *server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, h) })
}

func (s *server) answer(w http.ResponseWriter, r *http.Request, h handler) {
	start := time.Now()
	out := newResponse(w, s.options.IdleTimeout)
	if r.Body != http.NoBody {
		r.Body = newBody(w, r, s.options.IdleTimeout)
	}
	header := out.Header()
	header.Set("Docker-Distribution-Api-Version", "registry/2.0")
	header.Set("X-Content-Type-Options", "nosniff")
	if lastOnConnection(r) {
		header.Set("Connection", "close")
	}
	var err error
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler {
			s.log.Error("a request failed by a fault in longshore; please report it", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			err = &statusError{http.StatusInternalServerError, unknown, "the registry failed; its log says more", nil}
		}
		answered := err == nil || s.answerError(out, err)
		s.logRequest(out, r, start, err, !answered)
		if !answered {
			panic(http.ErrAbortHandler) // else net/http would end the answer as if it were whole
		}
	}()
	err = h(out, r)
}

// logRequest writes the line of a request. broken says that err came when a part of the answer had gone out already.
func (s *server) logRequest(w *response, r *http.Request, start time.Time, err error, broken bool) {
	level := slog.LevelDebug
	var store *drivers.Error
	switch {
	case w.status >= 500, broken && r.Context().Err() == nil && errors.As(err, &store):
		level = slog.LevelError
	case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPatch:
		level = slog.LevelInfo
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Int("status", w.status), slog.Int64("bytes", w.written),
		slog.Float64("took_ms", float64(time.Since(start).Microseconds())/1000), slog.String("client", s.client(r).String()),
	}
	if w.user != "" {
		attrs = append(attrs, slog.String("user", w.user))
	}
	if err != nil {
		attrs = append(attrs, slog.String("err", err.Error()))
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

func (s *server) live(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, true)
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	if err := s.registry.Ready(ctx); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = &statusError{http.StatusServiceUnavailable, unavailable, "the store does not answer", err}
		}
		return err
	}
	return writeJSON(w, http.StatusOK, true)
}

func (s *server) base(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, struct{}{})
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	return writeJSONAs(w, status, "application/json", v)
}

func writeJSONAs(w http.ResponseWriter, status int, mediaType string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
	return nil
}

// location is the value for a Location header.
func (s *server) location(path string) string { return s.options.PublicURL + path }

// repository gives the name in the path, checked.
func repository(r *http.Request) (string, error) {
	name := mux.Vars(r)["name"]
	return name, registry.CheckName(name)
}

// variable gives a part of the path as the client meant it: some write ':' as "%3A".
func variable(r *http.Request, name string) string {
	text := mux.Vars(r)[name]
	if plain, err := url.PathUnescape(text); err == nil {
		return plain
	}
	return text
}

// repositoryAndDigest gives both, checked.
func repositoryAndDigest(r *http.Request) (string, digest.Digest, error) {
	repo, err := repository(r)
	if err != nil {
		return "", "", err
	}
	d, err := registry.ParseDigest(variable(r, "digest"))
	return repo, d, err
}
