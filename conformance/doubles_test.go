package conformance

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// switchable is a hook that can be replaced while the store is in use.
type switchable struct {
	mu   sync.Mutex
	hook memory.Hook
}

func (s *switchable) ask(ctx context.Context, op, key string) memory.Outcome {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		return memory.Outcome{}
	}
	return hook(ctx, op, key)
}

func (s *switchable) use(hook memory.Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// faultsOf are all ways to make a memory store fail; hookOf finds the hook of a handle.
func faultsOf(hookOf func(drivers.Driver) *switchable) Faults {
	use := func(hook memory.Hook) func(testing.TB, drivers.Driver) func() {
		return func(_ testing.TB, d drivers.Driver) func() {
			hookOf(d).use(hook)
			return func() { hookOf(d).use(nil) }
		}
	}
	changes := []string{"put", "delete", "putifabsent", "putifmatch", "write", "suspend", "commit", "drop"}
	onChange := func(out memory.Outcome) memory.Hook {
		return func(_ context.Context, op, _ string) memory.Outcome {
			if slices.Contains(changes, op) {
				return out
			}
			return memory.Outcome{}
		}
	}
	broken := errors.New("broken by the test")
	return Faults{
		BreakReads: func(t testing.TB, d drivers.Driver) func() {
			n := 0
			return use(func(_ context.Context, op, _ string) memory.Outcome {
				if n++; op == "read" && n%4 == 0 {
					return memory.Outcome{Err: broken}
				}
				return memory.Outcome{}
			})(t, d)
		},
		FailWrites:  use(onChange(memory.Outcome{Err: broken})),
		LoseReplies: use(onChange(memory.Outcome{Err: broken, Stored: true})),
		Hang: use(func(ctx context.Context, _, _ string) memory.Outcome {
			<-ctx.Done()
			return memory.Outcome{}
		}),
	}
}

// signer serves a store over HTTP to those who have a signed URL. The fields are faults.
type signer struct {
	d          drivers.Driver
	server     string
	anyMethod  bool // a URL is good for PUT and DELETE too
	noRanges   bool
	endless    bool // URLs do not end
	looksFirst bool // SignURL fails for an absent key
}

func newSigner(t testing.TB, d drivers.Driver) *signer {
	s := &signer{d: d}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.server = server.URL
	return s
}

func signature(key string, end int64) string {
	mac := hmac.New(sha256.New, []byte("secret"))
	_, _ = fmt.Fprintf(mac, "%d %s", end, key) // never fails
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *signer) SignURL(ctx context.Context, key string, ttl time.Duration) (string, error) {
	if err := drivers.CheckKey("memory", "signurl", key); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if s.looksFirst {
		if _, err := s.d.Stat(ctx, key); err != nil {
			return "", err
		}
	}
	end := time.Now().Add(ttl).UnixMilli()
	q := url.Values{"end": {strconv.FormatInt(end, 10)}, "signature": {signature(key, end)}}
	return s.server + "/" + key + "?" + q.Encode(), nil
}

func (s *signer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.URL.Path, "/")
	end, err := strconv.ParseInt(r.URL.Query().Get("end"), 10, 64)
	if err != nil || r.URL.Query().Get("signature") != signature(key, end) || !s.endless && time.Now().UnixMilli() > end {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodGet {
		if !s.anyMethod {
			http.Error(w, "forbidden", http.StatusForbidden)
		} else if err := s.d.Delete(r.Context(), key); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
		return
	}
	body, err := readAll(r.Context(), s.d, key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	if s.noRanges {
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// filer hands out objects as files. The fields are faults.
type filer struct {
	d        drivers.Driver
	folder   string
	atEnd    bool // the file is given out where its writing ended
	oneFile  bool // the objects at a key are one file
	bareKind bool // errors have a kind and nothing else
}

func (x *filer) File(ctx context.Context, key string) (*os.File, drivers.Info, error) {
	if err := drivers.CheckKey("memory", "file", key); err != nil {
		return nil, drivers.Info{}, err
	}
	info, err := x.d.Stat(ctx, key)
	var body []byte
	if err == nil {
		body, err = readAll(ctx, x.d, key)
	}
	if err != nil {
		if x.bareKind {
			return nil, info, drivers.ErrNotFound
		}
		if e := new(drivers.Error); errors.As(err, &e) {
			e.Op = "file"
		}
		return nil, info, err
	}
	path := filepath.Join(x.folder, strings.ReplaceAll(key, "/", "+"))
	if !x.oneFile {
		path += info.ETag
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, info, err
	}
	_, err = f.Write(body)
	if err == nil && !x.atEnd {
		_, err = f.Seek(0, io.SeekStart)
	}
	return f, info, err
}
