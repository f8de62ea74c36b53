package bench

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// serve serves a new registry, in front of which wrap stands if it is not nil.
func serve(t *testing.T, o api.Options, wrap func(http.Handler) http.Handler) Target {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	r, err := registry.Open(t.Context(), memory.New(memory.Options{}), registry.Options{Log: o.Log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	h := api.New(r, o)
	if wrap != nil {
		h = wrap(h)
	}
	return target(t, h)
}

func target(t *testing.T, h http.Handler) Target {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	to, err := ParseTarget(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// short is options for a run that takes no time.
func short(targets ...Target) Options {
	o := Defaults()
	o.Targets = targets
	o.Rounds, o.Time, o.Count = 2, time.Minute, 12
	o.Clients, o.Layers, o.LayerSize, o.Images, o.Tags, o.Page, o.Crowd = 3, 2, 1000, 2, 30, 10, 20
	return o
}

// get is the status of a GET.
func get(t *testing.T, to Target, path string) int {
	t.Helper()
	a, err := http.Get(to.URL.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, a.Body)
	_ = a.Body.Close()
	return a.StatusCode
}

// TestWorkloads does all that there are on two registries, and finds nothing left.
func TestWorkloads(t *testing.T) {
	a, b := serve(t, api.Options{}, nil), serve(t, api.Options{}, nil)
	for _, direct := range []bool{false, true} {
		o := short(a, b)
		o.Work, o.Direct = workloadNames(), direct
		o.Targets[0].PIDs = []int{os.Getpid()}
		calls := int64(0)
		o.Targets[1].Calls = func() int64 { calls += 24; return calls }
		var order []string
		r, err := Run(t.Context(), o, Watch{End: func(s Step, one Sample) {
			if s.Work == "push" {
				order = append(order, s.Target)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(order, " "), strings.Join([]string{a.Name, b.Name, a.Name, b.Name}, " "); got != want {
			t.Errorf("the order of rounds is %s, want %s", got, want)
		}
		if len(r.Results) != 2*len(o.Work) {
			t.Fatalf("%d results", len(r.Results))
		}
		for _, one := range r.Results {
			want := int64(o.Rounds * o.Count)
			if one.Work == "crowd" {
				want = int64(o.Rounds * o.Crowd)
			}
			if one.Done != want || one.Failed != 0 || one.Rate <= 0 || one.P50 <= 0 || one.P99 < one.P50 || one.Ratio <= 0 {
				t.Errorf("%s: %d done, %d failed (%v), rate %v, p50 %v, p99 %v, ratio %v", one.Work, one.Done, one.Failed, one.Failures, one.Rate, one.P50, one.P99, one.Ratio)
			}
			if watched := one.Target == a.Name; (one.Peak > 0) != watched || (one.Calls > 0) == watched {
				t.Errorf("%s at %s: %d bytes of memory, %v calls", one.Work, one.Target, one.Peak, one.Calls)
			}
		}
		if one := r.Result("push", b.Name); one.Calls != 2 {
			t.Errorf("%v calls for each of 12 pushes, 24 in all", one.Calls)
		}
		// Two layers and a configuration.
		if one := r.Result("push", a.Name); one.Rounds[0].Bytes < 12*2000 || one.Rounds[0].Bytes > 12*3000 {
			t.Errorf("12 pushes of 2 layers of 1000 bytes: %d bytes", one.Rounds[0].Bytes)
		}
		if len(r.Left) > 0 {
			t.Errorf("left: %+v", r.Left)
		}
		for _, path := range []string{o.Repository + "/manifests/image-000000", o.Repository + "/tags/manifests/list-000007"} {
			if status := get(t, a, "/v2/"+path); status != http.StatusNotFound {
				t.Errorf("%s answers %d at the end", path, status)
			}
		}
	}
}

func TestWhatStaysIsTold(t *testing.T) {
	to := serve(t, api.Options{NoDelete: true}, nil)
	o := short(to)
	o.Work, o.Rounds = []string{"push", "tags"}, 1
	r, err := Run(t.Context(), o, Watch{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Left) != 2 {
		t.Fatalf("left: %+v", r.Left)
	}
	for i, want := range []Left{{Repository: o.Repository + "/tags", Manifests: 1, Blobs: 3}, {Repository: o.Repository, Manifests: 12, Blobs: 36}} {
		got := r.Left[i]
		if got.Repository != want.Repository || got.Manifests != want.Manifests || got.Blobs != want.Blobs || !strings.Contains(got.Why, "405") {
			t.Errorf("got %+v, want %+v because of a 405", got, want)
		}
	}
	if !strings.Contains(r.Table(), "left: "+to.Name+": 12 manifests and 36 blobs in "+o.Repository) {
		t.Errorf("the table does not tell it:\n%s", r.Table())
	}
}

func TestKeepLeavesAll(t *testing.T) {
	to := serve(t, api.Options{}, nil)
	o := short(to)
	o.Work, o.Keep = []string{"pull"}, true
	if _, err := Run(t.Context(), o, Watch{}); err != nil {
		t.Fatal(err)
	}
	if status := get(t, to, "/v2/"+o.Repository+"/manifests/image-000001"); status != http.StatusOK {
		t.Errorf("the image answers %d", status)
	}
}

// TestFailuresAreCounted lets the pushes of some tags fail.
func TestFailuresAreCounted(t *testing.T) {
	to := serve(t, api.Options{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/manifests/push-") && strings.HasSuffix(r.URL.Path, "3") {
				http.Error(w, "too  busy\nto serve", http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	o := short(to)
	o.Work = []string{"push"}
	r, err := Run(t.Context(), o, Watch{})
	if err != nil {
		t.Fatal(err)
	}
	one := r.Results[0]
	// Of the tags push-000000 to push-000023, three end in 3.
	if one.Done != 21 || one.Failed != 3 || r.Failed() != 3 {
		t.Errorf("%d done, %d failed", one.Done, one.Failed)
	}
	if want := "PUT …/manifests/ answered 503: too busy to serve"; len(one.Failures) != 1 || one.Failures[0] != want {
		t.Errorf("reasons: %q, want %q", one.Failures, want)
	}
}

// TestWhatComesBackIsLookedAt: a store that damages layers is not measured.
func TestWhatComesBackIsLookedAt(t *testing.T) {
	to := serve(t, api.Options{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") {
				_, _ = w.Write(make([]byte, 1000))
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	o := short(to)
	o.Work = []string{"pull"}
	if _, err := Run(t.Context(), o, Watch{}); err == nil || !strings.Contains(err.Error(), "is something else") {
		t.Errorf("got %v", err)
	}
}

// TestRedirectsAreFollowed: blobs come from elsewhere, where our credentials have nothing to do.
func TestRedirectsAreFollowed(t *testing.T) {
	var next http.Handler
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the store got credentials")
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(store.Close)
	to := serve(t, api.Options{}, func(h http.Handler) http.Handler {
		next = h
		return basic(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:") {
				http.Redirect(w, r, store.URL+r.URL.Path, http.StatusTemporaryRedirect)
				return
			}
			h.ServeHTTP(w, r)
		}))
	})
	to.User, to.Password = "ann", "secret"
	o := short(to)
	o.Work = []string{"pull-blob"}
	r, err := Run(t.Context(), o, Watch{})
	if err != nil {
		t.Fatal(err)
	}
	if one := r.Results[0]; one.Done != 24 || one.Failed > 0 || one.First <= 0 || one.Rounds[0].Bytes != 12_000 {
		t.Errorf("%+v", one)
	}
}

// TestInstead asks a plain server for a file.
func TestInstead(t *testing.T) {
	to := serve(t, api.Options{}, nil)
	plain := target(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) }))
	plain.Name, plain.Instead = "plain", plain.URL.String()+"/file"
	o := short(to, plain)
	o.Work = []string{"pull-blob", "manifest-get", "manifest-head"}
	r, err := Run(t.Context(), o, Watch{})
	if err != nil || r.Failed() > 0 {
		t.Fatalf("%v, %d failed", err, r.Failed())
	}
	o.Work = []string{"push"}
	if _, err := Run(t.Context(), o, Watch{}); err == nil || !strings.Contains(err.Error(), "plain is no registry") {
		t.Errorf("got %v", err)
	}
}

// TestTheEndOfTheContext: what was measured is there, what was pushed is removed.
func TestTheEndOfTheContext(t *testing.T) {
	to := serve(t, api.Options{}, nil)
	o := short(to)
	o.Work = []string{"pull", "push"}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := Run(ctx, o, Watch{End: func(Step, Sample) { cancel() }})
	if err == nil || ctx.Err() == nil {
		t.Fatalf("got %v", err)
	}
	if len(r.Results) != 1 || len(r.Results[0].Rounds) != 1 || r.Results[0].Done != 12 {
		t.Errorf("%+v", r.Results)
	}
	if status := get(t, to, "/v2/"+o.Repository+"/manifests/image-000000"); status != http.StatusNotFound || len(r.Left) > 0 {
		t.Errorf("the image answers %d, left: %v", status, r.Left)
	}
}

// TestWhatHangsIsGivenUp: a round ends although an answer never comes.
func TestWhatHangsIsGivenUp(t *testing.T) {
	to := serve(t, api.Options{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/manifests/push-000001") && r.Method == http.MethodPut {
				_, _ = io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	o := short(to)
	o.Work, o.Rounds, o.Time, o.Patience = []string{"push"}, 1, time.Millisecond, 300*time.Millisecond
	r, err := Run(t.Context(), o, Watch{})
	if err != nil {
		t.Fatal(err)
	}
	if one := r.Results[0]; one.Failed != 1 || one.Failures[0] != "took too long" {
		t.Errorf("%d failed: %v", one.Failed, one.Failures)
	}
}

func TestLayers(t *testing.T) {
	for _, size := range []int64{LeastLayer, LeastLayer + 1, 1000, blockSize, 2*blockSize + 12345} {
		l, err := newLayers(size)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[digest.Digest]bool{}
		for range 3 {
			b, err := l.next()
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // it can be read again
				h := sha256.New()
				n, err := io.Copy(h, b.open())
				if err != nil || n != size || b.size != size {
					t.Fatalf("%d bytes, %v, want %d", n, err, size)
				}
				if got := digest.NewDigest(digest.SHA256, h); got != b.digest {
					t.Errorf("size %d: it is %s and says %s", size, got, b.digest)
				}
			}
			seen[b.digest] = true
		}
		if len(seen) != 3 {
			t.Errorf("size %d: three layers have the digests %v", size, seen)
		}
	}
}

func TestChallenge(t *testing.T) {
	for header, want := range map[string]map[string]string{
		`Basic realm="x, y"`: {"realm": "x, y"},
		`Bearer realm="https://a/token?x=1",service="reg",scope="repository:a:pull,push"`: {"realm": "https://a/token?x=1", "service": "reg", "scope": "repository:a:pull,push"},
		`Bearer realm="https://a/t", service=reg , error="x"`:                             {"realm": "https://a/t", "service": "reg ", "error": "x"},
		`Bearer`:       {},
		`Bearer realm`: {},
	} {
		scheme, got := challenge(header)
		wanted, _, _ := strings.Cut(header, " ")
		if scheme != strings.ToLower(wanted) || !maps.Equal(got, want) {
			t.Errorf("%s: %s, %q", header, scheme, got)
		}
	}
}
