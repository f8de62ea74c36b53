package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// Upload is an upload session as a client sees it. Value is what the next request has to bring back.
type Upload struct {
	ID     string
	Repo   string
	Value  string
	Offset int64 // bytes kept so far
}

// liveUpload is what this process remembers of a session: its newest value, to tell a repeated request
// from the next one. Another process may know a newer one; then the value that a client
// brings is newer than this.
type liveUpload struct {
	chunk sync.Mutex // held, by TryLock, by the request that adds the next chunk

	mu        sync.Mutex
	newest    session // never one that has outgrown its Location: such a one is read again
	cancelled bool
	committed digest.Digest
	wrote     string // Data whose last bytes this process wrote itself
}

// found is a session as a request finds it.
type found struct {
	live   *liveUpload
	own    session // what the client brought
	newest session // as far as the session got; own, unless that is older
}

// StartUpload begins a session. It asks nothing of the store. algorithm is the one of the digest that
// will close the upload; "" means sha256. Closing with another one works, at the cost
// of reading the bytes back.
func (r *Registry) StartUpload(repo string, algorithm digest.Algorithm) (Upload, error) {
	if err := CheckName(repo); err != nil {
		return Upload{}, err
	}
	if algorithm == "" {
		algorithm = digest.SHA256
	} else if err := checkAlgorithm(algorithm); err != nil {
		return Upload{}, err
	}
	s := session{ID: newUUID(), Repo: repo, Algorithm: algorithm, Born: r.now()}
	live := &liveUpload{newest: s}
	r.sessions.Set(s.ID, live)
	return r.upload(&s), nil
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (r *Registry) upload(s *session) Upload {
	return Upload{ID: s.ID, Repo: s.Repo, Value: r.sign(s), Offset: s.Offset}
}

func uploadUnknown(id string) *Error {
	return errorf(BlobUploadUnknown, "upload unknown: it was finished, cancelled, lasted too long, or never was").with("id", id)
}

// UploadStatus tells where a session stands: as far as the newest request got, even if value is older.
func (r *Registry) UploadStatus(ctx context.Context, repo, id, value string) (Upload, error) {
	f, err := r.findUpload(ctx, repo, id, value)
	if err != nil {
		return Upload{}, err
	}
	if f.live.closedBy() != "" {
		return Upload{}, uploadUnknown(id)
	}
	s, err := r.newest(ctx, f.live)
	if err != nil {
		return Upload{}, err
	}
	return r.upload(&s), nil
}

// UploadBorn tells when a session began, without asking the store. BLOB_UPLOAD_UNKNOWN if value is none of this registry's, or is over by its
// age; whether the upload was finished or cancelled since is not looked at.
func (r *Registry) UploadBorn(repo, id, value string) (time.Time, error) {
	s, err := r.verify(value)
	if err != nil || s.ID != id || s.Repo != repo || r.now().Sub(s.Born) > r.uploadLife {
		return time.Time{}, uploadUnknown(id)
	}
	return s.Born, nil
}

func (l *liveUpload) closedBy() digest.Digest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.committed
}

// CancelUpload ends a session and drops what the backend holds open for it. Bytes that lie in the store by themselves
// stay for the collector, since a repeated request may still be about to use them.
func (r *Registry) CancelUpload(ctx context.Context, repo, id, value string) error {
	f, err := r.findUpload(ctx, repo, id, value)
	if err != nil {
		return err
	}
	if f.live.closedBy() != "" {
		return uploadUnknown(id)
	}
	if err := r.driver.Put(ctx, uploadsPrefix+id+"/"+cancelledStep, nil); err != nil {
		return err
	}
	f.live.mu.Lock()
	f.live.cancelled = true
	f.live.mu.Unlock()
	s, err := r.load(ctx, f.newest)
	if err != nil || s.Writer == nil {
		return err
	}
	w, err := r.driver.Resume(ctx, s.Data, s.Writer)
	if errors.Is(err, drivers.ErrPrecondition) {
		return nil // a request works on it and will see the cancellation
	} else if err != nil {
		return err
	}
	return w.Cancel(ctx)
}

// findUpload checks value and finds the newest state of its session.
func (r *Registry) findUpload(ctx context.Context, repo, id, value string) (found, error) {
	s, err := r.verify(value)
	if err != nil || s.ID != id || s.Repo != repo {
		return found{}, uploadUnknown(id)
	}
	if age := r.now().Sub(s.Born); age > r.uploadLife {
		return found{}, uploadUnknown(id).with("expired", true)
	}
	live, known := r.sessions.GetIfPresent(id)
	if !known {
		live = &liveUpload{newest: s}
		if _, err := r.newest(ctx, live); err != nil {
			return found{}, err
		}
		live, _ = r.sessions.SetIfAbsent(id, live)
	}
	live.mu.Lock()
	defer live.mu.Unlock()
	if live.cancelled {
		return found{}, uploadUnknown(id)
	}
	if s.Step > live.newest.Step {
		live.newest = s
	}
	if s.Step == live.newest.Step {
		return found{live, s, s}, nil
	}
	return found{live, s, live.newest}, nil
}

// newest looks, in one request, whether another process left a newer step of the session in the store, or cancelled it.
// Most steps are not left there: the client brings them.
func (r *Registry) newest(ctx context.Context, live *liveUpload) (session, error) {
	live.mu.Lock()
	s := live.newest
	live.mu.Unlock()
	last := ""
	prefix := uploadsPrefix + s.ID + "/"
	for entry, err := range r.driver.List(ctx, prefix, "", "") {
		if err != nil {
			return session{}, err
		}
		if last = strings.TrimPrefix(entry.Key, prefix); last == cancelledStep {
			live.mu.Lock()
			live.cancelled = true
			live.mu.Unlock()
			return session{}, uploadUnknown(s.ID)
		}
	}
	if last <= fmt.Sprintf(uploadStepForm, s.Step, "~") {
		return s, nil
	}
	step, err := r.readStep(ctx, s.ID, last)
	if err != nil {
		return session{}, err
	}
	live.mu.Lock()
	defer live.mu.Unlock()
	if step.Step > live.newest.Step {
		live.newest = step.short(last)
	}
	return live.newest, nil
}

// keepStep moves a session that has outgrown its Location, or whose Location can't be told to the client, to an
// object of its own, and returns what the Location needs.
func (r *Registry) keepStep(ctx context.Context, s *session) (session, error) {
	step := fmt.Sprintf(uploadStepForm, s.Step, nonce()[:8])
	key, body := uploadsPrefix+s.ID+"/"+step, s.encode()
	if err := r.driver.Put(ctx, key, body); err != nil {
		return session{}, err
	}
	r.steps.Set(key, body)
	return s.short(step), nil
}

// load gives the whole of a session of which s may be the short form.
func (r *Registry) load(ctx context.Context, s session) (session, error) {
	if s.Kept == "" {
		return s, nil
	}
	return r.readStep(ctx, s.ID, s.Kept)
}

func (r *Registry) readStep(ctx context.Context, id, step string) (session, error) {
	key := uploadsPrefix + id + "/" + step
	body, known := r.steps.GetIfPresent(key)
	if !known {
		o, err := r.reads.get(ctx, key)
		if errors.Is(err, drivers.ErrNotFound) {
			return session{}, uploadUnknown(id)
		} else if err != nil {
			return session{}, err
		}
		body = o.body
	}
	s, err := decodeSession(body)
	if err != nil || s.ID != id {
		return session{}, &drivers.Error{Op: "read upload", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	return s, nil
}
