package cli

import (
	"log/slog"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// registryOptions are the settings that concern the registry.
func registryOptions(s *settings, log *slog.Logger) registry.Options {
	return registry.Options{
		UploadLife:    s.Uploads.Life,
		UploadMemory:  int64(s.Uploads.Memory),
		PullMemory:    max(int64(s.Pulls.Memory), 1), // 0 would be the default
		CacheMemory:   int64(s.Cache.Memory),
		MaxManifest:   int64(s.Limits.Manifest),
		SparseIndexes: anyOf(s.Manifests.SparseIndexes),
		HistoryKeep:   s.History.Keep,
		Immutable:     immutableRules(s.Tags.Immutable),
		TrackPulls:    tracksPulls(s.GC.Retention),
		Log:           log,
	}
}

// apiOptions are the settings that concern HTTP.
func apiOptions(s *settings, log *slog.Logger) api.Options {
	return api.Options{
		PublicURL:          s.HTTP.PublicURL,
		TrustedProxies:     s.HTTP.TrustedProxies,
		IdleTimeout:        s.HTTP.IdleTimeout,
		MaxTags:            s.Limits.TagsPerPut,
		PageSize:           s.Limits.Page,
		MaxPageSize:        s.Limits.Page,
		MinChunk:           int64(s.Limits.MinChunk),
		NoDelete:           !s.Delete.Enabled,
		DeleteRepositories: s.Delete.Repositories,
		DeleteChildren:     s.Delete.IndexChildren,
		Redirect: api.Redirect{
			Enabled:  s.Redirect.Enabled,
			Networks: s.Redirect.Networks,
			MinSize:  int64(s.Redirect.MinSize),
			Life:     s.Redirect.Life,
		},
		Log: log,
	}
}

// anyOf matches what one of the patterns matches.
func anyOf(patterns []config.Glob) func(string) bool {
	return func(name string) bool {
		for _, p := range patterns {
			if p.Match(name) {
				return true
			}
		}
		return false
	}
}
