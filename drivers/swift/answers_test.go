package swift

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

func TestStatusesBecomeKinds(t *testing.T) {
	for _, test := range []struct {
		status int
		want   error
		calls  int64
	}{
		{404, drivers.ErrNotFound, 2}, {403, drivers.ErrDenied, 1}, {401, drivers.ErrDenied, 2}, {412, drivers.ErrPrecondition, 1},
		{413, drivers.ErrNoSpace, 1}, {507, drivers.ErrNoSpace, 1}, {422, drivers.ErrCorrupt, 1}, {400, nil, 1},
		{409, drivers.ErrThrottled, 2}, {429, drivers.ErrThrottled, 2}, {498, drivers.ErrThrottled, 2}, {408, drivers.ErrThrottled, 2},
		{500, drivers.ErrThrottled, 2}, {503, drivers.ErrThrottled, 2},
	} {
		var calls atomic.Int64
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.WriteHeader(test.status)
		})
		_, err := f.open(t, f.config()).Stat(t.Context(), "a/b")
		var e *drivers.Error
		if !errors.As(err, &e) || e.Kind != test.want || e.Op != "stat" || e.Key != "a/b" {
			t.Errorf("%d: %v", test.status, err)
		}
		if calls.Load() != test.calls {
			t.Errorf("%d: asked %d times, want %d", test.status, calls.Load(), test.calls)
		}
	}
}

// Some stores give pages that are short though more follow.
func TestShortPages(t *testing.T) {
	var markers []string
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		marker := r.URL.Query().Get("marker")
		markers = append(markers, marker)
		next := map[string]string{"": "a", "a": "b", "b": "c"}[marker]
		if next == "" {
			_, _ = io.WriteString(w, "[]")
			return
		}
		_, _ = fmt.Fprintf(w, `[{"name":%q,"hash":"h","bytes":1,"last_modified":"2026-01-02T03:04:05.678900"}]`, next)
	})
	c := f.config()
	c.ShortPages = true
	var got []string
	for e, err := range f.open(t, c).List(t.Context(), "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Key)
	}
	if !slices.Equal(got, []string{"a", "b", "c"}) || len(markers) != 4 {
		t.Errorf("listed %q with the markers %q", got, markers)
	}
}

// A bulk answer has status 200, and says in its body what failed.
func TestBulkDelete(t *testing.T) {
	posts := 0
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Etag", "e")
			return
		}
		posts++
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if n := strings.Count(string(body), "\n"); n > 3 {
			t.Errorf("%d names in one request", n)
		}
		errs := [][]string{}
		if strings.Contains(string(body), "images/a/2\n") {
			errs = append(errs, []string{"images/a/2", "403 Forbidden"})
		}
		status := "200 OK"
		if len(errs) > 0 {
			status = "400 Bad Request"
		}
		answer(t, w, map[string]any{"Response Status": status, "Errors": errs})
	})
	err := f.open(t, f.config()).Delete(t.Context(), "a/1", "a/2", "a/3", "a/4", "a/5")
	var e *drivers.Error
	if !errors.As(err, &e) || e.Key != "a/2" || e.Kind != drivers.ErrDenied || strings.Contains(err.Error(), "a/3") || posts != 2 {
		t.Errorf("%d requests: %v", posts, err)
	}
}

// A 413 that says when to come again is a rate limit, as OpenStack's services had it before there was 429.
func TestRateLimitOfOldServices(t *testing.T) {
	asked := 0
	f := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		asked++
		if asked == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		w.WriteHeader(http.StatusCreated)
	})
	if err := f.open(t, f.config()).Put(t.Context(), "a/b", []byte("x")); err != nil || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// What the cluster says of itself decides how large objects are made.
func TestInfo(t *testing.T) {
	for _, test := range []struct {
		said, kind string
		want       info
		err        string
	}{
		{said: `{"slo":{"max_manifest_segments":1000,"min_segment_size":1},"dlo":{},"bulk_delete":{"max_deletes_per_request":10000}}`,
			want: info{most: 1000, nested: true, bulk: 1000, page: 1000}},
		{said: `{"slo":{"max_manifest_segments":1000,"min_segment_size":1},"dlo":{}}`, kind: "dlo", want: info{dynamic: true, most: 1000, nested: true, page: 1000}},
		{said: `{"slo":{"max_manifest_segments":1000},"bulk_delete":{},"swift":{"max_file_size":5368709120,"container_listing_limit":10000}}`, want: info{most: 1000, bulk: 1000, page: 1000}}, // Ceph's
		{said: `{"slo":{},"swift":{"container_listing_limit":100}}`, want: info{most: 1000, page: 100}},
		{said: `{"dlo":{}}`, want: info{dynamic: true, most: 1000, page: 1000}},
		{said: "", want: info{most: 1000, unsure: true, page: 1000}},
		{said: "no JSON", want: info{most: 1000, unsure: true, page: 1000}},
		{said: "", kind: "slo", want: info{most: 1000, page: 1000}},
		{said: "", kind: "dlo", want: info{dynamic: true, most: 1000, page: 1000}},
		{said: `{"dlo":{}}`, kind: "slo", err: "large_objects: "},
		{said: `{"swift":{}}`, err: "large_objects: "},
		{said: `{"slo":{"max_manifest_segments":1000,"min_segment_size":10000000}}`, err: "large_objects: "},
		{said: `{"slo":{},"swift":{"max_file_size":6000000}}`, err: "part_size: "},
	} {
		f := newFake(t, nil)
		f.info = test.said
		c := f.config()
		if test.kind != "" {
			c.LargeObjects = test.kind
		}
		d, err := Open(t.Context(), c)
		if test.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), test.err) {
				t.Errorf("%s: %v, want %s…", test.said, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.said, err)
			continue
		}
		t.Cleanup(d.Close)
		if d.info != test.want {
			t.Errorf("%s: %+v, want %+v", test.said, d.info, test.want)
		}
	}
}

// kept is a container of a fake that keeps objects in memory.
type kept struct {
	mu      sync.Mutex
	objects map[string][]byte
	header  map[string]http.Header
	before  func(w http.ResponseWriter, r *http.Request, name string) (done bool) // may be nil
}

func (k *kept) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/v1/AUTH_one/images")
	name = strings.TrimPrefix(name, "/")
	if k.before != nil && k.before(w, r, name) {
		return
	}
	body, ok := k.objects[name]
	switch {
	case r.Method == http.MethodPut:
		body, err := io.ReadAll(r.Body)
		sum := md5.Sum(body)
		etag := hex.EncodeToString(sum[:])
		if want := r.Header.Get("Etag"); err != nil || want != "" && want != etag {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		k.objects[name], k.header[name] = body, r.Header.Clone()
		w.Header().Set("Etag", etag)
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet && name == "":
		var names []string
		for name := range k.objects {
			if strings.HasPrefix(name, r.URL.Query().Get("prefix")) && name > r.URL.Query().Get("marker") {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		list := []entry{}
		for _, name := range names {
			list = append(list, entry{Name: name, Hash: "h", Bytes: int64(len(k.objects[name])), Modified: "2026-01-02T03:04:05.678900"})
		}
		_ = json.NewEncoder(w).Encode(list)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(k.objects, name)
		w.WriteHeader(http.StatusNoContent)
	default:
		for h, v := range k.header[name] {
			if strings.HasPrefix(h, "X-Object-") {
				w.Header()[h] = v
			}
		}
		w.Header().Set("Etag", "e")
		_, _ = w.Write(body)
	}
}

// keeping is a driver on a fake with such a container.
func keeping(t *testing.T, said string, k *kept) *Driver {
	t.Helper()
	k.objects, k.header = make(map[string][]byte), make(map[string]http.Header)
	f := newFake(t, k.ServeHTTP)
	f.info = said
	c := f.config()
	c.PartSize, c.Attempts = parts.MinPart, 5
	return f.open(t, c)
}

func writeTwoParts(t *testing.T, d *Driver) error {
	t.Helper()
	w, err := d.Writer(t.Context(), "a/o", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, parts.MinPart+1)); err != nil {
		t.Fatal(err)
	}
	err = w.Commit(t.Context())
	if err != nil {
		if err := w.Cancel(t.Context()); err != nil {
			t.Error(err)
		}
	}
	return err
}

// A cluster that shows no /info and has no static large objects would keep the manifest itself as the object.
func TestManifestIsNeverTheObject(t *testing.T) {
	k := &kept{}
	err := writeTwoParts(t, keeping(t, "", k))
	if err == nil || !strings.Contains(err.Error(), "large_objects") || len(k.objects) > 0 {
		t.Errorf("%v; the container has %d objects", err, len(k.objects))
	}
}

// A dynamic large object is what the listing says, so nothing is closed before that says all of it.
func TestDynamicLargeObjectsWaitForTheListing(t *testing.T) {
	lists := 0
	k := &kept{}
	k.before = func(w http.ResponseWriter, r *http.Request, name string) bool {
		if r.Method != http.MethodGet || name != "" {
			return false
		}
		if _, made := k.objects["a/o"]; made {
			t.Error("the object is there already")
		}
		lists++
		if lists <= 2 {
			_, _ = io.WriteString(w, "[]")
		}
		return lists <= 2
	}
	if err := writeTwoParts(t, keeping(t, `{"dlo":{}}`, k)); err != nil || lists != 3 {
		t.Errorf("%d listings: %v", lists, err)
	}
	if manifest := k.header["a/o"].Get("X-Object-Manifest"); !strings.HasPrefix(manifest, "images/~segments/") {
		t.Errorf("the object is made of %q", manifest)
	}
}

// A listing that never catches up is no reason to say that the blob is there.
func TestDynamicLargeObjectsOfAListingThatLags(t *testing.T) {
	k := &kept{before: func(w http.ResponseWriter, r *http.Request, name string) bool {
		if r.Method == http.MethodGet && name == "" {
			_, _ = io.WriteString(w, "[]")
			return true
		}
		return false
	}}
	if err := writeTwoParts(t, keeping(t, `{"dlo":{}}`, k)); !errors.Is(err, drivers.ErrThrottled) {
		t.Errorf("got %v, want ErrThrottled", err)
	}
	// The segments are removed by their names, though no listing has them.
	if len(k.objects) > 0 {
		t.Errorf("%d objects are left", len(k.objects))
	}
}

// Swift answers 400 to a manifest also if it only could not look at a segment just now.
func TestManifestIsSentAgain(t *testing.T) {
	for said, want := range map[string]error{
		`{"Errors":[["/images/~segments/x","503 Service Unavailable"]]}`: nil,
		`{"Errors":[["/images/~segments/x","403 Forbidden"]]}`:           drivers.ErrDenied,
		`{"Errors":[["/images/~segments/x","404 Not Found"]]}`:           drivers.ErrPrecondition,
		`{"Errors":[["/images/~segments/x","Etag Mismatch"]]}`:           drivers.ErrPrecondition,
	} {
		refused := 0
		k := &kept{before: func(w http.ResponseWriter, r *http.Request, _ string) bool {
			if r.URL.Query().Get("multipart-manifest") != "put" || refused == 2 {
				return false
			}
			refused++
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, said)
			return true
		}}
		err := writeTwoParts(t, keeping(t, `{"slo":{"min_segment_size":1}}`, k))
		if want == nil && err != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", said, err, want)
		}
	}
}

// A token that ends in the middle of an upload is renewed, and what was under way is sent once more, all of it.
func TestTokenThatEndsDuringAnUpload(t *testing.T) {
	k := &kept{objects: make(map[string][]byte), header: make(map[string]http.Header)}
	f := newFake(t, k.ServeHTTP)
	f.next = "T-old"
	refused := 0
	k.before = func(w http.ResponseWriter, r *http.Request, name string) bool {
		if strings.HasPrefix(name, segments) {
			f.next = "T-new"
		}
		if f.next == "T-old" || r.Header.Get("X-Auth-Token") == "T-new" {
			return false
		}
		refused++
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	c := f.config()
	c.PartSize = parts.MinPart
	if err := writeTwoParts(t, f.open(t, c)); err != nil {
		t.Fatal(err)
	}
	size := 0
	for name, body := range k.objects {
		if strings.HasPrefix(name, segments) {
			size += len(body)
		}
	}
	if refused == 0 || size != parts.MinPart+1 || len(f.asked) != 2 {
		t.Errorf("refused %d times, the segments have %d bytes, %d tokens", refused, size, len(f.asked))
	}
}

// A store whose listing begins again, whatever marker it is given, must not be listed for ever.
func TestListingThatBeginsAgain(t *testing.T) {
	asked := 0
	f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("format") != "json" || r.Method != http.MethodGet {
			_, _ = io.WriteString(w, "a/b")
			return
		}
		if asked++; asked > 50 {
			t.Error("it is listed for ever")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		prefix := r.URL.Query().Get("prefix")
		_, _ = fmt.Fprintf(w, `[{"name":%q,"hash":"h","bytes":1},{"name":%q,"hash":"h","bytes":1}]`, prefix+"a", prefix+"b")
	})
	c := f.config()
	c.ShortPages = true
	d := f.open(t, c)
	lists := map[string]func() error{
		"list": func() (last error) {
			for _, err := range d.List(t.Context(), "", "", "") {
				last = err
			}
			return last
		},
		"leftovers": func() (last error) {
			for _, err := range d.Leftovers(t.Context()) {
				last = err
			}
			return last
		},
	}
	for name, list := range lists {
		asked = 0
		if err := list(); !errors.Is(err, drivers.ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", name, err)
		}
	}
}
