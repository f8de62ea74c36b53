package registry

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// deletingSection is where deletions of clients announce themselves, below repoPrefix.
const deletingSection = "deleting/"

// whileDeleting lets do delete what a collector may be about to delete, too. Who puts it anew after that has to be safe from the collector, also if this
// process dies right after the deletion, or can't tell its client of it. So it announces itself and then waits for a collector that has not
// seen that; a collector that sees it leaves the repository alone. When do fails, the store may still carry out what was asked of it, so the
// announcement stays until it is void.
func (r *Registry) whileDeleting(ctx context.Context, repo string, do func(context.Context) error) error {
	key := repoPrefix(repo) + deletingSection + nonce()
	until := r.now().Add(longestAnnouncement) // twice what waitOut takes
	body, err := json.Marshal(announcement{By: "a DELETE", Until: until.UTC()})
	if err != nil {
		return err
	}
	if err := r.driver.Put(ctx, key, body); err != nil {
		return err
	}
	err = r.waitOut(ctx, repoCondemnedKey(repo))
	if err == nil {
		limited, cancel := r.within(ctx, until)
		err = do(limited)
		cancel()
		if err != nil {
			return err
		}
	}
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if failed := r.driver.Delete(ctx, key); failed != nil {
		r.log.Warn("collections leave the repository alone until the announcement of a deletion is void", "key", key, "until", until, "err", failed)
	}
	return err
}

// othersDelete reports whether a client deletes something in the repository, or has begun to lately and not ended.
func (c *collector) othersDelete(ctx context.Context, repo string) (bool, error) {
	for entry, err := range c.driver.List(ctx, repoPrefix(repo)+deletingSection, "", "") {
		if err != nil {
			return false, err
		}
		a, _, err := c.readAnnouncement(ctx, entry.Key)
		if errors.Is(err, drivers.ErrNotFound) {
			continue
		} else if err != nil || !c.void(a) {
			return err == nil, err
		}
	}
	return false, nil
}

// findDeletions adds announcements of clients that did not end.
func (c *collector) findDeletions(ctx context.Context, s *seenRepo, p *plan) error {
	for entry, err := range c.driver.List(ctx, repoPrefix(s.name)+deletingSection, "", "") {
		if err != nil {
			return err
		}
		if s.expired(entry.ModTime, 0) {
			p.entries[entry.Key] = "its DELETE did not end"
		}
	}
	return nil
}

// isDeletion reports whether rest, of a key in that section, is the announcement of a deletion.
func isDeletion(section, rest string) bool {
	return section+"/" == deletingSection && rest != "" && !strings.Contains(rest, "/")
}
