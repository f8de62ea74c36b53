package bench

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
)

// Left is what could not be removed from a target.
type Left struct {
	Target     string `json:"target"`
	Repository string `json:"repository"`
	Manifests  int    `json:"manifests"`
	Blobs      int    `json:"blobs"`
	Why        string `json:"why"`
}

// cleaners is how many deletes are sent at once.
const cleaners = 8

// clean removes what was pushed, as far as the registries allow. The bytes themselves are then for each registry's own collection of garbage.
func (r *run) clean(ctx context.Context) (left []Left) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Patience)
	defer cancel()
	for _, main := range r.sites {
		for _, s := range []*site{main.lists, main} {
			if len(s.pushed.manifests)+len(s.pushed.blobs) == 0 {
				continue
			}
			r.watch.Doing("removing " + s.repo + " from " + s.target.Name)
			if l := s.clean(ctx); l.Manifests+l.Blobs > 0 {
				left = append(left, l)
			}
		}
	}
	return left
}

func (s *site) clean(ctx context.Context) Left {
	l := Left{Target: s.target.Name, Repository: s.repo}
	// Longshore removes a whole repository if its configuration allows that. Others know no such request.
	a, err := s.do(ctx, request{method: http.MethodDelete, url: s.url(s.repo + "/")})
	if err == nil {
		discard(a)
		if a.StatusCode/100 == 2 {
			return l
		}
	}
	var why error
	l.Manifests, why = s.remove(ctx, "/manifests/", s.pushed.manifests)
	if l.Manifests == 0 {
		l.Blobs, why = s.remove(ctx, "/blobs/", s.pushed.blobs)
	} else {
		l.Blobs = len(unique(s.pushed.blobs))
	}
	if why != nil {
		l.Why = reason(why)
	}
	return l
}

// remove deletes what has the digests, and returns how many of them stay and why. A registry that refuses one is asked for no more.
func (s *site) remove(ctx context.Context, kind string, all []digest.Digest) (left int, why error) {
	all = unique(all)
	var mu sync.Mutex
	_ = each(ctx, len(all), cleaners, func(ctx context.Context, i int) error {
		mu.Lock()
		refused := hasStatus(why, http.StatusMethodNotAllowed, http.StatusForbidden, http.StatusUnauthorized) || ctx.Err() != nil
		mu.Unlock()
		err := ctx.Err()
		if !refused {
			_, err = s.expect(ctx, request{method: http.MethodDelete, url: s.url(s.repo + kind + string(all[i]))},
				http.StatusAccepted, http.StatusOK, http.StatusNoContent, http.StatusNotFound)
		}
		mu.Lock()
		defer mu.Unlock()
		if refused || err != nil {
			left++
		}
		if why == nil {
			why = err
		}
		return nil // the others are tried
	})
	return left, why
}

// unique sorts digests and leaves out what is there twice.
func unique(all []digest.Digest) []digest.Digest {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}
