package registry

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// tagThere is what a push found at a tag.
type tagThere struct {
	record tagRecord
	etag   string // "" if there was no such tag
}

func (p *pushing) lookAtTag(ctx context.Context, tag string) (tagThere, error) {
	t, info, err := p.readTag(ctx, p.want.Repo, tag)
	if HasCode(err, ManifestUnknown) {
		return tagThere{}, nil
	}
	return tagThere{t, info.ETag}, err
}

// lookAtTags checks what a push asks of its tags, and what rules say of them, before it writes anything. It costs nothing if there is
// neither. What it found holds still when the tags are written, see putTag.
func (p *pushing) lookAtTags(ctx context.Context) error {
	p.conditional = len(p.want.IfMatch)+len(p.want.IfNoneMatch) > 0
	if p.conditional {
		if len(p.want.Tags) == 0 {
			return p.lookAtManifest(ctx)
		}
		if err := p.canCompare(); err != nil {
			return err
		}
	}
	found := make([]tagThere, len(p.want.Tags))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, tag := range p.want.Tags {
		if !p.conditional && !p.stays(tag) {
			continue
		}
		g.Go(func() (err error) {
			found[i], err = p.lookAtTag(gctx, tag)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, tag := range p.want.Tags {
		fixed := p.stays(tag)
		switch {
		case p.conditional && !p.holds(found[i].record.Digest):
			return p.conditionFailed(tag, nil)
		case fixed && found[i].etag != "" && found[i].record.Digest != p.manifest.Digest:
			return p.tagStays(tag, found[i].record.Digest)
		case p.conditional || fixed:
			if p.there == nil {
				p.there = map[string]tagThere{}
			}
			p.there[tag] = found[i]
		}
	}
	return nil
}

// stays reports whether the tag may not be pointed elsewhere once it is there: by a rule, or since this push may not.
func (p *pushing) stays(tag string) bool { return p.want.OnlyNew || p.fixed(p.want.Repo, tag) }

// tagStays is the answer then.
func (p *pushing) tagStays(tag string, at digest.Digest) *Error {
	if p.fixed(p.want.Repo, tag) {
		return tagFixed(p.want.Repo, tag, at)
	}
	return errorf(Denied, "tag %s is there already and points at something else; to move it takes the right tag-move", tag).with("name", p.want.Repo).with("tag", tag)
}

// lookAtManifest compares the conditions with the manifest itself.
func (p *pushing) lookAtManifest(ctx context.Context) error {
	d := p.manifest.Digest
	if _, err := p.Manifest(ctx, p.want.Repo, d); HasCode(err, ManifestUnknown) {
		d = ""
	} else if err != nil {
		return err
	}
	if !p.holds(d) {
		return p.conditionFailed(p.manifest.Digest.String(), nil)
	}
	return nil
}

// canCompare refuses conditions that the store can't hold: to look first and then to write would let two clients
// through that exclude each other.
func (p *pushing) canCompare() error {
	onlyNew := len(p.want.IfMatch) == 0 && slices.Contains(p.want.IfNoneMatch, "*")
	if p.extras.Absent == nil || p.extras.Match == nil && !onlyNew {
		return errorf(ConditionUnsupported, "the registry's store can't compare a tag and replace it in one step, so there is no If-Match or If-None-Match for tags here").with("name", p.want.Repo)
	}
	return nil
}

// holds reports whether the conditions hold for what is there, "" for nothing.
func (p *pushing) holds(d digest.Digest) bool {
	named := func(list []string) bool {
		return d != "" && (slices.Contains(list, "*") || slices.Contains(list, string(d)))
	}
	return (len(p.want.IfMatch) == 0 || named(p.want.IfMatch)) && !named(p.want.IfNoneMatch)
}

func (p *pushing) conditionFailed(reference string, cause error) error {
	e := errorf(PreconditionFailed, "%s does not point where If-Match or If-None-Match wants it", reference).with("reference", reference)
	e.Err = cause
	return e
}

// putTag points the tag at the manifest. Where the store can compare it replaces what this push has seen there and nothing else: so conditions
// and rules hold, and the history has all that the tag ever pointed at.
func (p *pushing) putTag(ctx context.Context, tag string) error {
	key := tagKey(p.want.Repo, tag)
	body, err := p.tagBody(p.manifest.id)
	if err != nil {
		return err
	}
	fixed := p.stays(tag)
	if p.historyKeep == 0 && !p.conditional && !fixed {
		return p.place(ctx, key, body)
	}
	was := p.there[tag] // one that was not looked at is taken for new: if it is not, the store says so
	const attempts = 10 // each but the last met somebody else at the tag
	for i := range attempts {
		compare := i < attempts-1 || p.conditional
		entry, failed := p.replaceTag(ctx, key, tag, body, was, compare)
		if !errors.Is(failed, drivers.ErrExists) && !errors.Is(failed, drivers.ErrPrecondition) {
			return failed
		}
		if was, err = p.lookAtTag(ctx, tag); err != nil {
			return err
		}
		if was.record.Manifest == p.manifest.id {
			return nil // the answer was lost, and the driver's second try met the first one
		}
		p.forget(ctx, entry)
		if p.conditional {
			return p.conditionFailed(tag, failed)
		}
		if fixed && was.etag != "" && was.record.Digest != p.manifest.Digest {
			return p.tagStays(tag, was.record.Digest)
		}
	}
	return &drivers.Error{Op: "put tag", Driver: "registry", Key: key, Kind: drivers.ErrThrottled, Err: errors.New("it is put and removed over and over")}
}

// replaceTag puts the tag where was is, and what was is into the history before, as the entry that it returns. ErrExists or ErrPrecondition if
// something else is there, which the store tells if compare is set and it can.
func (p *pushing) replaceTag(ctx context.Context, key, tag string, body []byte, was tagThere, compare bool) (entry string, err error) {
	if was.etag == "" {
		return "", p.putIfAbsent(ctx, key, body)
	}
	if was.record.Digest != p.manifest.Digest {
		entry, err = p.keepTag(ctx, p.want.Repo, tag, was.record, change{p.manifest.Pushed, TagMoved, p.want.By, p.manifest.Digest})
		if err != nil {
			return "", err
		}
	}
	p.touch(key)
	if p.extras.Match == nil || !compare {
		return entry, p.driver.Put(ctx, key, body)
	}
	return entry, p.putIfMatch(ctx, key, body, was.etag)
}

// renewTag writes a tag anew that points where it shall. ErrPrecondition if it was moved or removed meanwhile, which a store that can't
// compare does not tell: then the history lacks a move, and a tag may be put that points at what has gone.
func (p *pushing) renewTag(ctx context.Context, tag string, body []byte, etag string) error {
	key := tagKey(p.want.Repo, tag)
	if p.extras.Match == nil {
		return p.driver.Put(ctx, key, body)
	}
	return p.putIfMatch(ctx, key, body, etag)
}

// tagBody is the record of a tag that points at the given push of the manifest.
func (p *pushing) tagBody(manifest string) ([]byte, error) {
	return json.Marshal(tagRecord{
		Digest: p.manifest.Digest, MediaType: p.manifest.MediaType, Size: int64(len(p.manifest.Body)),
		Pushed: p.manifest.Pushed, By: p.want.By, Manifest: manifest,
	})
}
