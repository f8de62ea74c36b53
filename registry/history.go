package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// Ending is why a tag no longer points where it pointed.
type Ending string

// The reasons.
const (
	TagMoved          Ending = "moved"              // a push pointed it elsewhere
	TagDeleted        Ending = "deleted"            // it was deleted
	TagExpired        Ending = "removed by a rule"  // a collection removed it, by a retention rule
	ManifestDeleted   Ending = "manifest deleted"   // its manifest was
	RepositoryDeleted Ending = "repository deleted" // its whole repository was
)

// PastTag is something that a tag pointed at once.
type PastTag struct {
	Entry     string        `json:"entry,omitempty"` // its name among those of the tag; later ones sort before earlier ones
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	Size      int64         `json:"size"`         // of the manifest, in bytes
	Pushed    time.Time     `json:"pushed"`       // when the tag was last pointed at it, by the clock of who did it
	By        string        `json:"by,omitempty"` // who did; "" if unknown
	Ended     time.Time     `json:"ended"`        // when that ended, by the clock of who ended it
	How       Ending        `json:"how"`
	EndedBy   string        `json:"endedBy,omitempty"` // who did; "" if unknown
	Next      digest.Digest `json:"next,omitempty"`    // where the tag was pointed then; "" if nowhere
}

// latestTime is later than any entry, in milliseconds of Unix. What is left until then makes later entries sort first, so the
// newest ones of a tag are the first page of a listing.
const latestTime = 9_999_999_999_999

// historyMoment is how the entries begin that ended at that moment.
func historyMoment(ended time.Time) string {
	return fmt.Sprintf("%013d", min(max(latestTime-ended.UnixMilli(), 0), latestTime))
}

// historyEntry is the last element of an entry's key. It has all that a collection has to know, so that a listing tells it. The random end
// keeps apart what ends at the same moment.
func historyEntry(ended time.Time, d digest.Digest) string {
	return historyMoment(ended) + "-" + digestElement(d) + "-" + nonce()[:8]
}

// maxHistoryEntry is the length of the longest.
const maxHistoryEntry = 13 + 1 + maxDigestElement + 1 + 8

// parseHistoryEntry takes one apart.
func parseHistoryEntry(entry string) (moment string, d digest.Digest, ok bool) {
	moment, rest, _ := strings.Cut(entry, "-")
	end := strings.LastIndexByte(rest, '-')
	if len(moment) != 13 || end < 0 || len(rest)-end != 9 {
		return "", "", false
	}
	if _, err := strconv.ParseUint(moment, 10, 63); err != nil {
		return "", "", false
	}
	d, err := parseDigestElement(rest[:end])
	return moment, d, err == nil
}

// change is what happens to a tag.
type change struct {
	at   time.Time
	how  Ending
	by   string
	next digest.Digest
}

// keepTag writes down what a tag points at before that is changed, and returns the entry's key; "" if no history is kept. The entry comes
// before the change, so that who looks at the tag first and then at its history finds the manifest in one of them. If the change does
// not come about, forget takes it back; it stays, and harms nothing, if this process dies before that.
func (r *Registry) keepTag(ctx context.Context, repo, tag string, t tagRecord, c change) (key string, err error) {
	if r.historyKeep == 0 {
		return "", nil
	}
	body, err := json.Marshal(PastTag{
		Digest: t.Digest, MediaType: t.MediaType, Size: t.Size, Pushed: t.Pushed, By: t.By,
		Ended: c.at.UTC(), How: c.how, EndedBy: c.by, Next: c.next,
	})
	if err != nil {
		return "", err
	}
	key = historyPrefix(repo, tag) + historyEntry(c.at, t.Digest)
	return key, r.driver.Put(ctx, key, body)
}

// forget takes an entry back.
func (r *Registry) forget(ctx context.Context, key string) {
	if key == "" {
		return
	}
	if err := r.driver.Delete(ctx, key); err != nil {
		r.log.Warn("the history of a tag has an entry for a change that did not come about", "key", key, "err", err)
	}
}

// TagHistory lists up to n of the things that a tag pointed at before, the latest first, from after the entry last on. next is where the
// following page begins, "" at the end. A tag that never was has none; neither has one that was always where it is.
func (r *Registry) TagHistory(ctx context.Context, repo, tag, last string, n int) (list []PastTag, next string, err error) {
	if err := errors.Join(CheckName(repo), CheckTag(tag)); err != nil {
		return nil, "", err
	}
	prefix := historyPrefix(repo, tag)
	after := ""
	if last != "" {
		after = prefix + position(last, maxHistoryEntry)
	}
	keys, more, err := r.page(ctx, prefix, after, n)
	if err != nil {
		return nil, "", err
	}
	if more {
		next = strings.TrimPrefix(keys[n-1], prefix)
	}
	list, err = readEach(ctx, r, keys, decodePastTag)
	if err != nil {
		return nil, "", err
	}
	return list, next, nil
}

// decodePastTag reads the entry at key.
func decodePastTag(key string, body []byte) (*PastTag, error) {
	var p PastTag
	entry := key[strings.LastIndexByte(key, '/')+1:]
	_, d, ok := parseHistoryEntry(entry)
	err := json.Unmarshal(body, &p)
	if err != nil || !ok || p.Digest != d || p.Size < 0 {
		return nil, &drivers.Error{Op: "read history", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	p.Entry = entry
	return &p, nil
}

// PastTags lists up to n tags of the repository that have a history but are not there now, in the order of their bytes, from
// after last on. next is where the following page begins, "" at the end.
func (r *Registry) PastTags(ctx context.Context, repo, last string, n int) (tags []string, next string, err error) {
	if err := CheckName(repo); err != nil {
		return nil, "", err
	}
	prefix := repoPrefix(repo) + "history/"
	after := ""
	if last != "" {
		after = prefix + position(last, maxTag) + "/"
	}
	var all []string
	for entry, err := range r.driver.List(drivers.WithListLimit(ctx, n+1), prefix, after, "/") {
		if err != nil {
			return nil, "", err
		}
		if len(all) == n {
			if n > 0 {
				next = all[n-1]
			}
			break
		}
		all = append(all, strings.TrimSuffix(strings.TrimPrefix(entry.Key, prefix), "/"))
	}
	gone := make([]bool, len(all))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, tag := range all {
		g.Go(func() error {
			_, err := r.driver.Stat(gctx, tagKey(repo, tag))
			gone[i] = errors.Is(err, drivers.ErrNotFound)
			if gone[i] {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, "", err
	}
	tags = []string{}
	for i, tag := range all {
		if gone[i] {
			tags = append(tags, tag)
		}
	}
	return tags, next, nil
}

// Tag is what a tag points at.
type Tag struct {
	Name      string        `json:"name"`
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	Size      int64         `json:"size"`   // of the manifest, in bytes
	Pushed    time.Time     `json:"pushed"` // when the tag was last pointed at it, by the clock of who did it
	By        string        `json:"by,omitempty"`
}

// Tag tells what a tag points at, in one request. MANIFEST_UNKNOWN if there is no such tag.
func (r *Registry) Tag(ctx context.Context, repo, tag string) (Tag, error) {
	t, _, err := r.readTag(ctx, repo, tag)
	return Tag{Name: tag, Digest: t.Digest, MediaType: t.MediaType, Size: t.Size, Pushed: t.Pushed, By: t.By}, err
}
