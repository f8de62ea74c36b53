package registry

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// Blob is a blob that a repository has.
type Blob struct {
	Digest digest.Digest
	Size   int64 // bytes
	data   string
}

// blobRecord is the only object that names the place of a blob's bytes. One place is named by one
// record at most.
type blobRecord struct {
	Size int64  `json:"size"`
	Data string `json:"data"`
}

type blobKey struct {
	repo   string
	digest digest.Digest
}

// knownBlob remembers a blob's record together with the identity of the repository's link as it was when the
// record was read. As long as that very link is there the blob can't have been collected, so its
// record is the same. The link itself is read at every request.
type knownBlob struct {
	link   string // content of the link, a nonce
	record blobRecord
	own    time.Time // when this process put the link; zero if it did not
}

// Blob looks a blob up: one request if this process knows its record, else two. BLOB_UNKNOWN if the
// repository does not have it, even if another has.
func (r *Registry) Blob(ctx context.Context, repo string, d digest.Digest) (Blob, error) {
	if err := CheckName(repo); err != nil {
		return Blob{}, err
	}
	link, err := r.reads.get(ctx, linkKey(repo, d))
	if errors.Is(err, drivers.ErrNotFound) {
		r.records.Invalidate(blobKey{repo, d})
		return Blob{}, blobUnknown(d)
	} else if err != nil {
		return Blob{}, err
	}
	if known, ok := r.records.GetIfPresent(blobKey{repo, d}); ok && known.link == string(link.body) {
		return Blob{d, known.record.Size, known.record.Data}, nil
	}
	record, err := r.readRecord(ctx, d)
	if errors.Is(err, drivers.ErrNotFound) {
		return Blob{}, blobUnknown(d)
	} else if err != nil {
		return Blob{}, err
	}
	r.remember(repo, d, knownBlob{link: string(link.body), record: record})
	return Blob{d, record.Size, record.Data}, nil
}

func (r *Registry) readRecord(ctx context.Context, d digest.Digest) (blobRecord, error) {
	key := recordKey(d)
	o, err := r.reads.get(ctx, key)
	if err != nil {
		return blobRecord{}, err
	}
	return decodeRecord(key, o.body)
}

func decodeRecord(key string, body []byte) (blobRecord, error) {
	var record blobRecord
	err := json.Unmarshal(body, &record)
	if err == nil {
		err = drivers.CheckKey("registry", "record", record.Data)
	}
	if err != nil || record.Size < 0 {
		return blobRecord{}, &drivers.Error{Op: "read record", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	return record, nil
}

func (r *Registry) remember(repo string, d digest.Digest, k knownBlob) {
	r.records.Set(blobKey{repo, d}, k)
	const hints = 4
	repos, _ := r.holders.GetIfPresent(string(d))
	if !slices.Contains(repos, repo) {
		r.holders.Set(string(d), append(slices.Clone(repos[max(0, len(repos)-hints+1):]), repo))
	}
}

// OpenBlob returns length bytes of the blob from offset (length < 0: to the end), in one request; in more, which bring several pieces
// at a time, if the store is slower than who reads. That of a small blob is shared by all who read it at the time, and none is needed
// if its bytes are in memory still. The data's size is compared with the blob's before anything is returned,
// and the digest of all of it before the last bytes are.
func (r *Registry) OpenBlob(ctx context.Context, b Blob, offset, length int64) (io.ReadCloser, error) {
	if body, err := r.shared.open(ctx, b, offset, length); body != nil || err != nil {
		return body, err
	}
	body, info, err := r.openAhead(ctx, b.data, offset, length)
	if err != nil {
		return nil, dataGone(b, err)
	}
	if err := checkSize(b, info); err != nil {
		body.Close()
		return nil, err
	}
	if offset == 0 && (length < 0 || length >= b.Size) {
		return newVerified(body, b), nil
	}
	return body, nil
}

// BlobFile returns the blob as a local file, or nil if the store has none.
func (r *Registry) BlobFile(ctx context.Context, b Blob) (*os.File, error) {
	if r.extras.Files == nil {
		return nil, nil
	}
	f, info, err := r.extras.Files.File(ctx, b.data)
	if err != nil {
		return nil, dataGone(b, err)
	}
	if err := checkSize(b, info); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// BlobURL returns a URL from which the blob can be fetched without credentials for about ttl, or
// "" if the store signs none.
func (r *Registry) BlobURL(ctx context.Context, b Blob, ttl time.Duration) (string, error) {
	if r.extras.Signer == nil {
		return "", nil
	}
	return r.extras.Signer.SignURL(ctx, b.data, ttl)
}

func checkSize(b Blob, info drivers.Info) error {
	if info.Size != b.Size {
		return &drivers.Error{
			Op: "open blob " + b.Digest.String(), Driver: "registry", Key: b.data, Kind: drivers.ErrCorrupt,
			Err: errors.New("its size is not the one recorded"),
		}
	}
	return nil
}

// dataGone turns the absence of data that a record names into what it is: a damaged store.
func dataGone(b Blob, err error) error {
	if errors.Is(err, drivers.ErrNotFound) {
		return &drivers.Error{
			Op: "open blob " + b.Digest.String(), Driver: "registry", Key: b.data, Kind: drivers.ErrCorrupt,
			Err: errors.New("the data that the blob's record names is not there"),
		}
	}
	return err
}

// DeleteBlob takes the blob out of the repository; its bytes go with a later collection.
// BLOB_UNKNOWN if the repository does not have it.
func (r *Registry) DeleteBlob(ctx context.Context, repo string, d digest.Digest) error {
	if _, err := r.Blob(ctx, repo, d); err != nil {
		return err
	}
	defer r.records.Invalidate(blobKey{repo, d})
	return r.whileDeleting(ctx, repo, func(ctx context.Context) error { return r.driver.Delete(ctx, linkKey(repo, d)) })
}

// Mount gives repo a blob that from has. It reports false, and no error, if from does not have it.
func (r *Registry) Mount(ctx context.Context, repo, from string, d digest.Digest) (bool, error) {
	if err := CheckName(repo); err != nil {
		return false, err
	}
	if CheckName(from) != nil {
		return false, nil
	}
	if _, err := r.Blob(ctx, from, d); HasCode(err, BlobUnknown) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if err := r.link(ctx, repo, d); HasCode(err, BlobUnknown) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return true, nil
}

// MountNothing asks the store what Mount asks if from does not have the blob: for a repository that a client may not know of, whose answer has to
// take as long.
func (r *Registry) MountNothing(ctx context.Context, d digest.Digest) error {
	const nobodys = "-" // no name of a repository
	_, err := r.reads.get(ctx, linkKey(nobodys, d))
	if errors.Is(err, drivers.ErrNotFound) {
		return nil
	}
	return err
}

// Holders names repositories that had the blob when this process last looked, a few at most;
// Mount looks again.
func (r *Registry) Holders(d digest.Digest) []string {
	repos, _ := r.holders.GetIfPresent(string(d))
	return repos
}

// link is LINK of docs/design.md for a blob whose record this process did not just make. BLOB_UNKNOWN if there is
// no record; the link stays then, since only a collector or a DELETE may remove one.
func (r *Registry) link(ctx context.Context, repo string, d digest.Digest) error {
	_, err := r.finishLink(ctx, repo, d, nonce(), r.putIfAbsent)
	return err
}

// finishLink is LINK. putLink is how the link is put first. A link that was there before may be about to be removed: it is put again, so that it is
// fresh; then a collector that has not seen that is waited for; then the link has to be there still.
func (r *Registry) finishLink(ctx context.Context, repo string, d digest.Digest, id string, putLink func(context.Context, string, []byte) error) (blobRecord, error) {
	key := linkKey(repo, d)
	err := putLink(ctx, key, []byte(id))
	replaced := errors.Is(err, drivers.ErrExists)
	if err != nil && !replaced {
		return blobRecord{}, err
	}
	put := replaced
	const attempts = 5 // each but the last lost a race with a collector or a DELETE
	for range attempts {
		if put {
			if err := r.driver.Put(ctx, key, []byte(id)); err != nil {
				return blobRecord{}, err
			}
		}
		if replaced {
			if err := r.waitOut(ctx, repoCondemnedKey(repo)); err != nil {
				return blobRecord{}, err
			}
		}
		if err := r.waitOut(ctx, condemnedKey(d)); err != nil {
			return blobRecord{}, err
		}
		record, err := r.readRecord(ctx, d)
		if errors.Is(err, drivers.ErrNotFound) {
			return blobRecord{}, blobUnknown(d)
		} else if err != nil {
			return blobRecord{}, err
		}
		if replaced {
			link, err := r.reads.get(ctx, key)
			if put = errors.Is(err, drivers.ErrNotFound); put {
				continue
			} else if err != nil {
				return blobRecord{}, err
			}
			if string(link.body) != id {
				return record, nil // somebody else's, fresher than ours; the record that was read does not belong to it
			}
		}
		r.remember(repo, d, knownBlob{link: id, record: record, own: r.now()})
		return record, nil
	}
	return blobRecord{}, &drivers.Error{Op: "link", Driver: "registry", Key: key, Kind: drivers.ErrThrottled, Err: errors.New("it is put and removed over and over")}
}

// addBlob makes the bytes at data, which this session has written and nothing names yet, a blob of the
// repository. If the store has the blob already, those bytes are dropped and the ones that are there are used.
func (r *Registry) addBlob(ctx context.Context, repo string, d digest.Digest, own blobRecord) error {
	body, err := json.Marshal(own)
	if err != nil {
		return err
	}
	const attempts = 5 // each but the last lost a race with a collector
	for range attempts {
		id := nonce()
		var recordErr, linkErr error
		var g errgroup.Group
		g.Go(func() error { recordErr = r.putIfAbsent(ctx, recordKey(d), body); return nil })
		g.Go(func() error { linkErr = r.putIfAbsent(ctx, linkKey(repo, d), []byte(id)); return nil })
		g.Wait()
		if recordErr == nil && linkErr == nil {
			r.remember(repo, d, knownBlob{link: id, record: own, own: r.now()})
			return nil
		}
		if recordErr != nil && !errors.Is(recordErr, drivers.ErrExists) {
			return recordErr
		}
		there, err := r.finishLink(ctx, repo, d, id, func(context.Context, string, []byte) error { return linkErr })
		if HasCode(err, BlobUnknown) {
			continue
		} else if err != nil {
			return err
		}
		if there.Data != own.Data {
			r.dropData(ctx, own.Data)
		}
		return nil
	}
	return &drivers.Error{Op: "add blob", Driver: "registry", Key: recordKey(d), Kind: drivers.ErrThrottled, Err: errors.New("it is being collected over and over")}
}

// dropData deletes bytes that no record can name: another record of the same digest is there and linked. The
// collector takes what this leaves behind.
func (r *Registry) dropData(ctx context.Context, key string) {
	if err := r.driver.Delete(ctx, key); err != nil {
		r.log.Warn("a second copy of a blob stays for the collector", "key", key, "err", err)
	}
}

// linkedHere reports whether this process put the repository's link to the blob so lately that no collector looks at it.
func (r *Registry) linkedHere(repo string, d digest.Digest) bool {
	const fresh = 2 * time.Minute // within it, a DELETE by another process goes unseen
	known, ok := r.records.GetIfPresent(blobKey{repo, d})
	return ok && !known.own.IsZero() && r.now().Sub(known.own) < fresh
}
