package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/registry"
)

// What an actor is doing, for protocols that are broken in one request alone.
const (
	uploading  = "uploading"
	mounting   = "mounting"
	looking    = "looking"
	pushing    = "pushing"
	deleting   = "deleting"
	restoring  = "restoring"
	collecting = "collecting"
)

// request runs one request of the actor on a replica that lives. An error of a replica that died meanwhile is errGone: the
// client got no answer.
func (a *actor) request(doing string, at int, do func(context.Context, *replica) error) error {
	a.pause()
	a.mu.Lock()
	a.doing, a.tagged = doing, false
	a.mu.Unlock()
	r := a.w.live(at)
	err := do(a.ctx(r), r)
	switch {
	case r.isGone():
		return errGone
	case a.w.planted() && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, drivers.ErrThrottled)):
		return fmt.Errorf("%w: %w", errSlow, err)
	}
	return err
}

// unclear reports whether err says nothing of what became of the request: it comes from a planted fault.
func unclear(err error) bool {
	return errors.Is(err, errPlanted) || errors.Is(err, errLost) || errors.Is(err, errGone) || errors.Is(err, errSlow)
}

// check complains of an error that no fault explains.
func (a *actor) check(what string, err error, expected ...registry.Code) {
	if err == nil || unclear(err) {
		return
	}
	for _, code := range expected {
		if registry.HasCode(err, code) {
			return
		}
	}
	a.w.violate("%s: %s failed: %v", a.name, what, err)
}

func chunkOf(b []byte) registry.Chunk {
	return registry.Chunk{Body: bytes.NewReader(b), Length: int64(len(b))}
}

// upload pushes a blob in one request.
func (a *actor) upload(at int, repo string, b blob) error {
	return a.uploading(repo, b, func() error {
		return a.request(uploading, at, func(ctx context.Context, r *replica) error {
			return r.PutBlob(ctx, repo, chunkOf(b.bytes), b.digest)
		})
	})
}

// uploadInParts pushes a blob in two chunks, through two replicas.
func (a *actor) uploadInParts(first, second int, repo string, b blob) error {
	return a.uploading(repo, b, func() error {
		half := len(b.bytes) / 2
		var u registry.Upload
		err := a.request(uploading, first, func(ctx context.Context, r *replica) (err error) {
			if u, err = r.StartUpload(repo, ""); err == nil {
				u, err = r.Append(ctx, repo, u.ID, u.Value, chunkOf(b.bytes[:half]))
			}
			return err
		})
		if err != nil {
			return err
		}
		return a.request(uploading, second, func(ctx context.Context, r *replica) error {
			_, err := r.Finish(ctx, repo, u.ID, u.Value, chunkOf(b.bytes[half:]), b.digest)
			return err
		})
	})
}

func (a *actor) uploading(repo string, b blob, do func() error) error {
	w := a.w.history.begin(blobRegister(repo, b), present, "")
	err := do()
	a.w.history.end(err == nil, w)
	a.check("upload", err)
	return err
}

// mount tries to give repo a blob of another repository.
func (a *actor) mount(at int, repo, from string, b blob) (bool, error) {
	h := &a.w.history
	w := h.begin(blobRegister(repo, b), present, "")
	mounted := false
	err := a.request(mounting, at, func(ctx context.Context, r *replica) (err error) {
		mounted, err = r.Mount(ctx, repo, from, b.digest)
		return err
	})
	h.end(err == nil && mounted, w)
	a.check("mount", err)
	if err == nil && !mounted {
		if a.w.required(from, b, w.start, w.end) {
			a.w.violate("I1: %s: %s has %s and it can't be mounted from there", a.name, from, b.bytes)
		}
		if !h.tried(blobRegister(from, b), present, w.end) {
			h.forget(w) // from never had it
		}
	}
	return mounted && err == nil, err
}

// has asks whether a repository has a blob.
func (a *actor) has(at int, repo string, b blob) (bool, error) {
	start := a.w.history.now()
	err := a.request(looking, at, func(ctx context.Context, r *replica) error {
		_, err := r.Blob(ctx, repo, b.digest)
		return err
	})
	a.check("HEAD of a blob", err, registry.BlobUnknown)
	end := a.w.history.now()
	if registry.HasCode(err, registry.BlobUnknown) {
		if a.w.required(repo, b, start, end) {
			a.w.violate("I1: %s: %s has %s and does not know it", a.name, repo, b.bytes)
		}
		return false, nil
	}
	if err == nil && !a.w.history.tried(blobRegister(repo, b), present, end) {
		a.w.violate("I2: %s: %s serves %s, which nobody pushed there", a.name, repo, b.bytes)
	}
	return err == nil, err
}

// push puts a manifest, with a tag unless it is "".
func (a *actor) push(at int, repo, tag string, i *image) error {
	return a.pushIf(at, repo, tag, i, nil)
}

// pushIf is a push that moves the tag only if it points at was, unless that is nil.
func (a *actor) pushIf(at int, repo, tag string, i, was *image) error {
	h := &a.w.history
	writes := []*write{h.begin(manifestRegister(repo, i), present, "")}
	if tag != "" {
		writes = append(writes, h.begin(register{tagKind, repo, tag}, i.digest.String(), ""))
	}
	start := h.now()
	p := registry.Push{Repo: repo, Body: i.body, By: a.name}
	if tag != "" {
		p.Tags = []string{tag}
	}
	if was != nil {
		p.IfMatch = []string{was.digest.String()}
	}
	a.tag = tag
	err := a.request(pushing, at, func(ctx context.Context, r *replica) error {
		_, err := r.PushManifest(ctx, p)
		return err
	})
	h.end(err == nil, writes...)
	a.check("push", err, registry.ManifestBlobUnknown, registry.PreconditionFailed)
	if err == nil && was != nil && !h.mayBe(register{tagKind, repo, tag}, was.digest.String(), start, h.now()) {
		a.w.violate("I1: %s: tag %s:%s moved although it did not point at %s", a.name, repo, tag, was.name)
	}
	if registry.HasCode(err, registry.ManifestBlobUnknown) {
		a.checkMissing(err, repo, i, start)
	}
	return err
}

// checkMissing looks whether all that a push was refused for was there.
func (a *actor) checkMissing(err error, repo string, i *image, start int) {
	end := a.w.history.now()
	for _, b := range i.blobs {
		if named(err, b.digest) && a.w.required(repo, b, start, end) {
			a.w.violate("I1: %s: %s has %s, and a manifest that names it was refused", a.name, repo, b.bytes)
		}
	}
	for _, c := range i.children {
		if named(err, c.digest) && a.w.manifestRequired(repo, c, start, end) {
			a.w.violate("I1: %s: %s has manifest %s, and an index that names it was refused", a.name, repo, c.name)
		}
	}
}

// named reports whether one of the errors joined in err is about d.
func named(err error, d digest.Digest) bool {
	var all registry.Errors
	if !errors.As(err, &all) {
		return false
	}
	for _, e := range all {
		if m, ok := e.Detail.(map[string]any); ok && m["digest"] == d {
			return true
		}
	}
	return false
}

func (a *actor) deleteTag(at int, repo, tag string) error {
	h := &a.w.history
	w := h.begin(register{tagKind, repo, tag}, absent, "")
	err := a.request(deleting, at, func(ctx context.Context, r *replica) error { return r.DeleteTag(ctx, repo, tag) })
	h.end(err == nil, w)
	a.check("DELETE of a tag", err, registry.ManifestUnknown)
	if registry.HasCode(err, registry.ManifestUnknown) {
		start, end := w.start, w.end
		h.forget(w)
		if !h.mayBe(register{tagKind, repo, tag}, absent, start, end) {
			a.w.violate("I1: %s: tag %s:%s is there, and its DELETE was answered with unknown", a.name, repo, tag)
		}
	}
	return err
}

func (a *actor) deleteManifest(at int, repo string, i *image) error {
	h := &a.w.history
	writes := []*write{h.begin(manifestRegister(repo, i), absent, "")}
	for _, tag := range tags {
		writes = append(writes, h.begin(register{tagKind, repo, tag}, absent, i.digest.String()))
	}
	err := a.request(deleting, at, func(ctx context.Context, r *replica) error { return r.DeleteManifest(ctx, repo, i.digest, false) })
	h.end(err == nil, writes...)
	a.check("DELETE of a manifest", err, registry.ManifestUnknown, registry.Unsupported)
	if registry.HasCode(err, registry.ManifestUnknown) || registry.HasCode(err, registry.Unsupported) {
		start, end := writes[0].start, writes[0].end
		h.forget(writes...)
		if registry.HasCode(err, registry.ManifestUnknown) && a.w.manifestRequired(repo, i, start, end) {
			a.w.violate("I1: %s: manifest %s is in %s, and its DELETE was answered with unknown", a.name, i.name, repo)
		}
	}
	return err
}

func (a *actor) deleteBlob(at int, repo string, b blob) error {
	h := &a.w.history
	w := h.begin(blobRegister(repo, b), absent, "")
	w.forever = true
	err := a.request(deleting, at, func(ctx context.Context, r *replica) error { return r.DeleteBlob(ctx, repo, b.digest) })
	h.end(err == nil, w)
	a.check("DELETE of a blob", err, registry.BlobUnknown)
	if registry.HasCode(err, registry.BlobUnknown) {
		h.forget(w)
	}
	return err
}

// deleteRepository deletes a repository with all that is in it.
func (a *actor) deleteRepository(at int, repo string) error {
	h := &a.w.history
	var writes []*write
	for _, tag := range tags {
		writes = append(writes, h.begin(register{tagKind, repo, tag}, absent, ""))
	}
	for _, i := range a.w.universe.images {
		writes = append(writes, h.begin(manifestRegister(repo, i), absent, ""))
	}
	for _, b := range a.w.universe.blobs {
		writes = append(writes, h.begin(blobRegister(repo, b), absent, ""))
	}
	err := a.request(deleting, at, func(ctx context.Context, r *replica) error { return r.DeleteRepository(ctx, repo) })
	h.end(err == nil, writes...)
	a.check("DELETE of a repository", err, registry.NameUnknown)
	if unclear(err) {
		h.breakOff(repo)
	}
	if registry.HasCode(err, registry.NameUnknown) {
		h.forget(writes...)
	}
	return err
}

// restoreTag points a tag at what it pointed at before.
func (a *actor) restoreTag(at int, repo, tag string, i *image) error {
	h := &a.w.history
	can := a.w.restorable(repo, tag, i)
	writes := []*write{h.begin(register{tagKind, repo, tag}, i.digest.String(), ""), h.begin(manifestRegister(repo, i), present, "")}
	for _, b := range i.blobs {
		writes = append(writes, h.begin(blobRegister(repo, b), present, ""))
	}
	var parts []*write // may be put back; children that are there are left as they are
	for _, c := range i.children {
		parts = append(parts, h.begin(manifestRegister(repo, c), present, ""))
		for _, b := range c.blobs {
			parts = append(parts, h.begin(blobRegister(repo, b), present, ""))
		}
	}
	a.tag = tag
	err := a.request(restoring, at, func(ctx context.Context, r *replica) error {
		_, err := r.RestoreTag(ctx, repo, tag, i.digest, a.name)
		return err
	})
	h.end(false, parts...)
	h.end(err == nil, writes...)
	a.check("restoring a tag", err, registry.ManifestUnknown, registry.ManifestBlobUnknown)
	for _, part := range append([]*image{i}, i.children...) {
		can = can && !h.overlapped(manifestRegister(repo, part), append(writes, parts...)...)
	}
	if err != nil && !unclear(err) && can && a.w.restorable(repo, tag, i) {
		a.w.violate("I1: %s: tag %s:%s can't be restored to %s: %v", a.name, repo, tag, i.name, err)
	}
	return err
}

// pull fetches what a tag points at, with all that belongs to it.
func (a *actor) pull(at int, repo, tag string) {
	h := &a.w.history
	start := h.now()
	var m *registry.Manifest
	err := a.request(looking, at, func(ctx context.Context, r *replica) (err error) {
		m, err = r.ManifestByTag(ctx, repo, tag)
		return err
	})
	a.check("pull by tag", err, registry.ManifestUnknown)
	end := h.now()
	if registry.HasCode(err, registry.ManifestUnknown) {
		if !a.w.tagMayDangle(repo, tag, start, end) {
			a.w.violate("I1: %s: tag %s:%s is there, and is unknown", a.name, repo, tag)
		}
		if a.direct {
			a.checkDangling(at, repo, tag)
		}
		return
	} else if err != nil {
		return
	}
	i := a.w.universe.image(m.Digest)
	if i == nil || !bytes.Equal(m.Body, i.body) {
		a.w.violate("I3: %s: tag %s:%s gives a manifest that nobody pushed: %s", a.name, repo, tag, m.Body)
		return
	}
	if !h.mayBe(register{tagKind, repo, tag}, m.Digest.String(), start, end) {
		a.w.violate("I1: %s: tag %s:%s gives %s, which it ought not to point at", a.name, repo, tag, i.name)
	}
	a.whole = a.direct // a tag is put only when all is there
	defer func() { a.whole = false }()
	for _, b := range i.blobs {
		a.fetch(at, repo, b)
	}
	for _, c := range i.children {
		a.pullManifest(at, repo, c)
	}
}

// checkDangling looks whether a tag that can't be pulled is there. No clients are under way.
func (a *actor) checkDangling(at int, repo, tag string) {
	var d digest.Digest
	err := a.request(looking, at, func(ctx context.Context, r *replica) (err error) {
		d, err = r.Resolve(ctx, repo, tag)
		return err
	})
	if err != nil {
		return
	}
	if !a.w.planted() || !a.w.history.lostSince(register{manifestKind, repo, d.String()}, present, never) {
		a.w.violate("I1: %s: tag %s:%s points at %s, which is not there", a.name, repo, tag, d)
	}
}

// pullManifest fetches a manifest by its digest, with all that belongs to it.
func (a *actor) pullManifest(at int, repo string, i *image) {
	h := &a.w.history
	start := h.now()
	var m *registry.Manifest
	err := a.request(looking, at, func(ctx context.Context, r *replica) (err error) {
		m, err = r.Manifest(ctx, repo, i.digest)
		return err
	})
	a.check("pull by digest", err, registry.ManifestUnknown)
	end := h.now()
	switch {
	case registry.HasCode(err, registry.ManifestUnknown):
		if a.w.manifestRequired(repo, i, start, end) || a.whole && !h.lostSince(manifestRegister(repo, i), present, start) {
			a.w.violate("I1: %s: manifest %s is in %s, and is unknown", a.name, i.name, repo)
		}
		return
	case err != nil:
		return
	case !bytes.Equal(m.Body, i.body):
		a.w.violate("I3: %s: manifest %s of %s is another one: %s", a.name, i.name, repo, m.Body)
		return
	case !h.mayBe(manifestRegister(repo, i), present, start, end):
		a.w.violate("I1: %s: manifest %s was deleted from %s and is there", a.name, i.name, repo)
	}
	for _, b := range i.blobs {
		a.fetch(at, repo, b)
	}
	for _, c := range i.children {
		a.pullManifest(at, repo, c)
	}
}

// fetch reads a blob.
func (a *actor) fetch(at int, repo string, b blob) {
	h := &a.w.history
	start := h.now()
	var got []byte
	err := a.request(looking, at, func(ctx context.Context, r *replica) error {
		found, err := r.Blob(ctx, repo, b.digest)
		if err != nil {
			return err
		}
		body, err := r.OpenBlob(ctx, found, 0, -1)
		if err != nil {
			return err
		}
		defer body.Close()
		got, err = io.ReadAll(body)
		return err
	})
	end := h.now()
	if err == nil && !bytes.Equal(got, b.bytes) {
		a.w.violate("I3: %s: %s of %s has the bytes %q", a.name, b.bytes, repo, got)
	}
	if err == nil && !h.tried(blobRegister(repo, b), present, end) {
		a.w.violate("I2: %s: %s serves %s, which nobody pushed there", a.name, repo, b.bytes)
	}
	needed := a.w.required(repo, b, start, end) || a.whole && !h.lostSince(blobRegister(repo, b), present, start)
	if err == nil || unclear(err) || !needed {
		return // a blob that is not needed may go at any time, also while it is read
	}
	a.w.violate("I1: %s: %s of %s can't be pulled: %v", a.name, b.bytes, repo, err)
}

// collect runs a collection.
func (a *actor) collect(at int, o registry.CollectOptions) error {
	o.By = a.name
	err := a.request(collecting, at, func(ctx context.Context, r *replica) error {
		_, err := r.Collect(ctx, o)
		return err
	})
	if errors.Is(err, registry.ErrCollecting) {
		return err
	}
	if err != nil && a.w.planted() && strings.Contains(err.Error(), "too long for announcements") {
		return err // it was held up
	}
	a.check("collection", err)
	return err
}
