package registry

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// page reads up to n keys from a listing, and whether more follow.
func (r *Registry) page(ctx context.Context, prefix, after string, n int) (keys []string, more bool, err error) {
	if n == 0 {
		return nil, false, nil
	}
	for entry, err := range r.driver.List(drivers.WithListLimit(ctx, n+1), prefix, after, "") {
		if err != nil {
			return nil, false, err
		}
		if len(keys) == n {
			return keys, true, nil
		}
		keys = append(keys, entry.Key)
	}
	return keys, false, nil
}

// position is a text that sorts among keys as last does, whatever a client sends as last. No key of the listing is longer than
// longest. Not every store takes what is no part of any key: what is not UTF-8, a zero byte, a position longer than a key can be.
func position(last string, longest int) string {
	const inKeys = "-./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz" // in the order of their bytes
	last = last[:min(len(last), longest)]
	for i := range len(last) {
		if strings.IndexByte(inKeys, last[i]) >= 0 {
			continue
		}
		before := strings.LastIndexFunc(inKeys, func(c rune) bool { return byte(c) < last[i] })
		if before < 0 {
			return last[:i]
		}
		return last[:i] + inKeys[before:before+1] + "~" // which sorts after all that keys have
	}
	return last
}

// Tags lists up to n tags of a repository that come after last in the order of their bytes. more says that there are
// others. NAME_UNKNOWN if the repository does not exist.
func (r *Registry) Tags(ctx context.Context, repo, last string, n int) (tags []string, more bool, err error) {
	if err := CheckName(repo); err != nil {
		return nil, false, err
	}
	prefix := tagsPrefix(repo)
	keys, more, err := r.page(ctx, prefix, prefix+position(last, maxTag), n)
	if err != nil {
		return nil, false, err
	}
	tags = make([]string, len(keys))
	for i, key := range keys {
		tags[i] = strings.TrimPrefix(key, prefix)
	}
	if len(tags) > 0 {
		return tags, more, nil
	}
	if _, err := r.driver.Stat(ctx, catalogKey(repo)); errors.Is(err, drivers.ErrNotFound) {
		return nil, false, nameUnknown(repo)
	} else if err != nil {
		return nil, false, err
	}
	return tags, false, nil
}

func nameUnknown(repo string) *Error {
	return errorf(NameUnknown, "repository name not known to registry").with("name", repo)
}

// Catalog lists up to n repositories that come after last in the order of their bytes. more says that there are others.
func (r *Registry) Catalog(ctx context.Context, last string, n int) (repos []string, more bool, err error) {
	after := ""
	if last != "" {
		after = catalogKey(position(last, MaxName))
	}
	keys, more, err := r.page(ctx, catalogPrefix, after, n)
	repos = make([]string, len(keys))
	for i, key := range keys {
		repos[i] = catalogName(key)
	}
	return repos, more, err
}

// Search lists up to n repositories whose names contain text and for which visible, unless it is nil, says yes.
func (r *Registry) Search(ctx context.Context, text string, n int, visible func(repo string) bool) ([]string, error) {
	found := []string{}
	text = strings.ToLower(text)
	const pageSize = 1000
	for last, more := "", true; more; {
		var repos []string
		var err error
		if repos, more, err = r.Catalog(ctx, last, pageSize); err != nil {
			return nil, err
		}
		for _, repo := range repos {
			last = repo
			if !strings.Contains(repo, text) || visible != nil && !visible(repo) {
				continue
			}
			if len(found) == n {
				return found, nil
			}
			found = append(found, repo)
		}
	}
	return found, nil
}

// Referrers lists up to n manifests whose subject is d, from after last on; artifactType, if not nil, is the one they have
// to have. A subject that nobody has pushed has none. next is where the following page begins, "" at the end.
func (r *Registry) Referrers(ctx context.Context, repo string, d digest.Digest, artifactType *string, last string, n int) (list []v1.Descriptor, next string, err error) {
	if err := CheckName(repo); err != nil {
		return nil, "", err
	}
	prefix := referrersPrefix(repo, d)
	after := ""
	if last != "" {
		after = prefix + position(last, maxDigestElement)
	}
	var keys []string
	for entry, err := range r.driver.List(drivers.WithListLimit(ctx, n+1), prefix, after, "") {
		if err != nil {
			return nil, "", err
		}
		if len(keys) == n {
			next = strings.TrimPrefix(keys[n-1], prefix)
			break
		}
		keys = append(keys, entry.Key)
	}
	all, err := readEach(ctx, r, keys, decodeReferrer)
	if err != nil {
		return nil, "", err
	}
	return slices.DeleteFunc(all, func(one v1.Descriptor) bool { return artifactType != nil && *artifactType != one.ArtifactType }), next, nil
}

// readEach reads the objects at keys side by side, and leaves out those that have gone meanwhile. The list is never nil.
func readEach[T any](ctx context.Context, r *Registry, keys []string, decode func(key string, body []byte) (*T, error)) ([]T, error) {
	all := make([]*T, len(keys))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, key := range keys {
		g.Go(func() error {
			o, err := r.reads.get(gctx, key)
			if errors.Is(err, drivers.ErrNotFound) {
				return nil
			} else if err != nil {
				return err
			}
			all[i], err = decode(key, o.body)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	list := []T{}
	for _, one := range all {
		if one != nil {
			list = append(list, *one)
		}
	}
	return list, nil
}

// decodeReferrer reads the entry at key, which ends in the digest of the referrer.
func decodeReferrer(key string, body []byte) (*v1.Descriptor, error) {
	var d v1.Descriptor
	err := json.Unmarshal(body, &d)
	if err == nil {
		_, err = ParseDigest(string(d.Digest))
	}
	if err != nil || d.Size < 0 || !strings.HasSuffix(key, "/"+digestElement(d.Digest)) {
		return nil, &drivers.Error{Op: "read referrer", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	return &d, nil
}

// putReferrer writes the manifest's descriptor among the referrers of its subject.
func (p *pushing) putReferrer(ctx context.Context) error {
	body, err := referrerEntry(p.manifest, p.content)
	if err != nil {
		return err
	}
	return p.place(ctx, referrerKey(p.want.Repo, p.content.Subject.Digest, p.manifest.Digest), body)
}

// referrerEntry is the entry of a manifest among the referrers of its subject.
func referrerEntry(m *Manifest, c *content) ([]byte, error) {
	return json.Marshal(v1.Descriptor{
		MediaType: m.MediaType, Digest: m.Digest, Size: int64(len(m.Body)),
		ArtifactType: c.artifactType(), Annotations: c.Annotations,
	})
}
