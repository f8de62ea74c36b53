package registry

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// Finish adds the last chunk, which may be empty, and makes the upload a blob of the repository (PUT). DIGEST_INVALID
// if the bytes have another digest; the session is then as before the request, or unknown
// from now on if the chunk was large.
func (r *Registry) Finish(ctx context.Context, repo, id, value string, c Chunk, want digest.Digest) (Upload, error) {
	f, base, release, err := r.begin(ctx, repo, id, value, &c)
	if err != nil {
		if f.live != nil && f.live.closedBy() == want {
			if _, err := r.Blob(ctx, repo, want); err == nil {
				return Upload{}, nil // its answer was lost
			}
		}
		return f.upload(r), err
	}
	defer release()
	if base.Offset == 0 {
		base.Algorithm = want.Algorithm()
	}
	d, err := r.read(ctx, base, &c)
	if err != nil {
		return f.upload(r), err
	}
	defer d.small.release()
	if d.broken != nil {
		return r.keep(ctx, f, d)
	}
	if err := r.close(ctx, f, d, want); err != nil {
		return f.upload(r), err
	}
	return Upload{}, nil
}

// PutBlob makes a body a blob of the repository (POST with a digest), without a session.
func (r *Registry) PutBlob(ctx context.Context, repo string, c Chunk, want digest.Digest) error {
	if err := CheckName(repo); err != nil {
		return err
	}
	base := session{ID: newUUID(), Repo: repo, Algorithm: want.Algorithm(), Born: r.now()}
	d, err := r.read(ctx, base, &c)
	if err != nil {
		return err
	}
	defer d.small.release()
	if d.broken != nil {
		return errors.Join(d.broken, d.drop(ctx))
	}
	return r.close(ctx, found{live: &liveUpload{newest: base}, own: base, newest: base}, d, want)
}

// close makes the draft a blob.
func (r *Registry) close(ctx context.Context, f found, d *draft, want digest.Digest) error {
	sameAlgorithm := want.Algorithm() == d.base.Algorithm
	if got := digest.NewDigest(d.base.Algorithm, d.hash); sameAlgorithm && got != want {
		return r.refuse(ctx, f, d, digestMismatch(want, got))
	}
	s, err := r.store(ctx, d, true)
	if errors.Is(err, drivers.ErrPrecondition) || errors.Is(err, drivers.ErrNotFound) {
		return r.closedElsewhere(ctx, d, want)
	} else if err != nil {
		return err
	}
	f.live.mu.Lock()
	wrote := f.live.wrote == s.Data || d.size > 0 || s.Data != d.base.Data
	f.live.mu.Unlock()
	if !wrote {
		info, err := r.driver.Stat(ctx, s.Data)
		if errors.Is(err, drivers.ErrNotFound) || err == nil && info.Size != s.Offset {
			return r.closedElsewhere(ctx, d, want)
		} else if err != nil {
			return err
		}
	}
	if !sameAlgorithm {
		if s.Data, err = r.rehash(ctx, &s, want); err != nil {
			return err
		}
	}
	if err := r.addBlob(ctx, s.Repo, want, blobRecord{Size: s.Offset, Data: s.Data}); err != nil {
		return err
	}
	f.live.mu.Lock()
	f.live.committed = want
	f.live.mu.Unlock()
	return nil
}

// closedElsewhere answers for a session whose bytes are not where it says: another process may have closed this very
// session, and its answer was lost. Then the repository has the blob.
func (r *Registry) closedElsewhere(ctx context.Context, d *draft, want digest.Digest) error {
	_, err := r.Blob(ctx, d.base.Repo, want)
	if HasCode(err, BlobUnknown) {
		return uploadUnknown(d.base.ID)
	}
	return err
}

func digestMismatch(want, got digest.Digest) *Error {
	return errorf(DigestInvalid, "the content has another digest than the one given").with("given", want).with("content", got)
}

// refuse takes back a draft whose digest is wrong.
func (r *Registry) refuse(ctx context.Context, f found, d *draft, why error) error {
	if d.writer != nil && d.base.Writer != nil {
		f.live.mu.Lock()
		f.live.cancelled = true // the bytes from before went with the chunk
		f.live.mu.Unlock()
	}
	return errors.Join(why, d.drop(ctx))
}

// rehash copies data that was hashed with one algorithm for a digest of another: what one
// record names no other record may name. It costs the bytes twice; clients avoid it with digest-algorithm.
func (r *Registry) rehash(ctx context.Context, s *session, want digest.Digest) (string, error) {
	body, _, err := openSteady(ctx, r.driver, s.Data, 0, -1)
	if err != nil {
		return "", err
	}
	defer body.Close()
	key := newDataKey(r.now())
	w, err := r.driver.Writer(ctx, key, s.Offset)
	if err != nil {
		return "", err
	}
	h := want.Algorithm().Hash()
	if _, err = io.Copy(io.MultiWriter(h, w), body); err != nil {
		return "", errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
	}
	if got := digest.NewDigest(want.Algorithm(), h); got != want {
		return "", errors.Join(digestMismatch(want, got), w.Cancel(context.WithoutCancel(ctx)))
	}
	return key, w.Commit(ctx)
}
