package registry

import "context"

// keepManifest puts a manifest aside that is about to be deleted, if a history is kept.
func (r *Registry) keepManifest(ctx context.Context, repo string, m *Manifest) error {
	if r.historyKeep == 0 {
		return nil
	}
	return r.driver.Put(ctx, deletedManifestKey(repo, m.Digest), m.raw)
}
