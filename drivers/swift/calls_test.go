//go:build integration

package swift

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/faultproxy"
)

// proxied opens a driver on a new container through a proxy of its own, with parts of the smallest size.
func proxied(t *testing.T, base Config) (*Driver, *faultproxy.Proxy) {
	t.Helper()
	base.Container, base.PartSize = fmt.Sprintf("test-swift-%d", containers.Add(1)), parts.MinPart
	account, _, err := open(t, base).session.get(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(account)
	if err != nil {
		t.Fatal(err)
	}
	p := faultproxy.NewNamed(t, "http://"+u.Host, callOf)
	base.StorageURL = p.URL + u.Path
	d := open(t, base)
	p.Calls()
	return d, p
}

// begun is a Writer to key that has body.
func begun(t *testing.T, d *Driver, key string, body []byte) drivers.Writer {
	t.Helper()
	w, err := d.Writer(t.Context(), key, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	return w
}

// write streams body to key.
func write(t *testing.T, d *Driver, key string, body []byte) {
	t.Helper()
	if err := begun(t, d, key, body).Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// suspended is the state of a stream to key that has body.
func suspended(t *testing.T, d *Driver, key string, body []byte) []byte {
	t.Helper()
	state, err := begun(t, d, key, body).Suspend(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// resumed is a Writer that goes on from state with body.
func resumed(t *testing.T, d *Driver, key string, state, body []byte) drivers.Writer {
	t.Helper()
	w, err := d.Resume(t.Context(), key, state)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	return w
}

// holds fails t unless the object is body, whole and in some ranges.
func holds(t *testing.T, d *Driver, key string, body []byte) {
	t.Helper()
	size := int64(len(body))
	for _, span := range [][2]int64{{0, -1}, {size / 2, 10}, {parts.MinPart - 5, 10}, {size - 3, 100}} {
		from := max(min(span[0], size), 0)
		r, info, err := d.Reader(t.Context(), key, from, span[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		want := body[from:]
		if span[1] >= 0 {
			want = want[:min(span[1], int64(len(want)))]
		}
		if info.Size != size || !bytes.Equal(got, want) {
			t.Fatalf("%s from %d: %d bytes of %d, or others than %d of %d", key, from, len(got), info.Size, len(want), size)
		}
	}
}

// onlyHas fails t unless these objects, and what they are made of, are all that the container has: nothing is left when they are deleted.
func onlyHas(t *testing.T, d *Driver, keys ...string) {
	t.Helper()
	if err := d.Delete(t.Context(), keys...); err != nil {
		t.Fatal(err)
	}
	all, err := d.entries(t.Context(), "", "", "", "", d.info.page)
	if err != nil || len(all) > 0 {
		t.Errorf("left in the container: %v, %v", all, err)
	}
}

// TestCalls counts the requests of each method.
func TestCalls(t *testing.T) { calls(t, at(t)) }

func calls(t *testing.T, base Config) {
	d, p := proxied(t, base)
	ctx := t.Context()
	stream := func(size int) func() error {
		return func() error {
			write(t, d, "w/o", make([]byte, size))
			return nil
		}
	}
	read := func(offset, length int64) func() error {
		return func() error {
			r, _, err := d.Reader(ctx, "a/o", offset, length)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return errors.Join(err, r.Close())
		}
	}
	var state []byte
	seal := []string{"HEAD", "PUT mark", "HEAD", "PUT closed", "HEAD", "HEAD"}
	for _, test := range []struct {
		name string
		call func() error
		want []string
	}{
		{"Put", func() error { return d.Put(ctx, "a/o", []byte("0123456789")) }, []string{"PUT"}},
		{"Put of nothing", func() error { return d.Put(ctx, "a/x", nil) }, []string{"PUT"}},
		{"Reader", read(0, -1), []string{"GET"}},
		{"Reader of a range", read(3, 4), []string{"GET"}},
		{"Reader past the end", read(10, -1), []string{"GET", "HEAD"}},
		{"Reader of nothing", read(3, 0), []string{"HEAD"}},
		{"Stat", func() error { _, err := d.Stat(ctx, "a/o"); return err }, []string{"HEAD"}},
		{"List", func() error {
			for range d.List(ctx, "a/", "", "/") {
				break
			}
			return nil
		}, []string{"List"}},
		{"Writer of one part", stream(parts.MinPart), []string{"PUT"}},
		{"Writer of two parts", stream(parts.MinPart + 1), []string{"PUT mark", "PUT segment", "PUT segment", "HEAD", "Manifest", "DELETE", "DELETE"}},
		{"Delete of what has segments", func() error { return d.Delete(ctx, "w/o") }, []string{"HEAD", "DeleteLarge"}},
		{"Delete of one", func() error { return d.Delete(ctx, "a/o") }, []string{"HEAD", "DELETE"}},
		{"Delete of two", func() error { return errors.Join(d.Put(ctx, "a/o", nil), d.Delete(ctx, "a/o", "a/x")) }, []string{"PUT", "HEAD", "HEAD", "DeleteMany"}},
		{"Suspend of a few bytes", func() error { state = suspended(t, d, "w/o", []byte("a")); return nil }, []string{"PUT mark"}},
		{"Suspend again", func() (err error) { state, err = resumed(t, d, "w/o", state, []byte("b")).Suspend(ctx); return err }, []string{"HEAD", "PUT mark"}},
		{"Commit of that", func() error { return resumed(t, d, "w/o", state, nil).Commit(ctx) },
			slices.Concat([]string{"HEAD", "PUT segment"}, seal, []string{"Manifest", "DELETE", "DELETE", "List"})},
		{"Suspend of another", func() error { state = suspended(t, d, "w/p", make([]byte, parts.MinPart+1)); return nil }, []string{"PUT mark", "PUT segment"}},
		{"Leftovers", func() error {
			for _, err := range d.Leftovers(ctx) {
				return err
			}
			return errors.New("none")
		}, []string{"List", "GET", "List"}},
		{"Cancel of that", func() error { return resumed(t, d, "w/p", state, nil).Cancel(ctx) },
			slices.Concat(seal, []string{"HEAD", "DELETE", "HEAD", "List", "DELETE", "DELETE"})},
		{"Cancel of one part", func() error { return begun(t, d, "w/q", make([]byte, parts.MinPart)).Cancel(ctx) }, nil},
		{"Cancel of two parts", func() error { return begun(t, d, "w/q", make([]byte, parts.MinPart+1)).Cancel(ctx) },
			[]string{"PUT mark", "PUT segment", "HEAD", "DELETE", "HEAD", "List", "DELETE", "DELETE"}},
	} {
		if err := test.call(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := p.Calls(); !slices.Equal(got, test.want) {
			t.Errorf("%s: requests %q, want %q", test.name, got, test.want)
		}
	}
	onlyHas(t, d, "w/o")
}

// TestLeftovers finds a stream that was given up, says whose it is, and drops it. A mark that was left of a stream that was
// committed goes without the segments, which are the object's.
func TestLeftovers(t *testing.T) {
	for _, kind := range []string{"slo", "dlo"} {
		t.Run(kind, func(t *testing.T) {
			c := at(t)
			c.LargeObjects = kind
			findLeftovers(t, c)
		})
	}
}

func findLeftovers(t *testing.T, base Config) {
	d, p := proxied(t, base)
	ctx := t.Context()
	state := suspended(t, d, "left/o", make([]byte, parts.MinPart+10))
	body := bytes.Repeat([]byte("0123456789abcdef"), parts.MinPart/8)
	p.Set(func(call string) faultproxy.Fault { // neither the mark nor what is beside it can be removed
		if call == http.MethodDelete {
			return faultproxy.Denied
		}
		return faultproxy.Pass
	})
	write(t, d, "kept/o", body)
	p.Set(nil)
	// What Seal leaves of a stream that another has just ended.
	if _, err := d.put(ctx, store{d}.closed("LATE"), []byte(d.prefix+"late/o"), nil); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]drivers.Leftover)
	for l, err := range d.Leftovers(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		found[l.Key] = l
	}
	if l := found["left/o"]; len(found) != 3 || l.Size != parts.MinPart || time.Since(l.Began) > time.Minute || found["late/o"].ID != "LATE" {
		t.Fatalf("leftovers %+v", found)
	}
	for _, l := range found {
		for range 2 {
			if err := d.Drop(ctx, l); err != nil {
				t.Fatal(err)
			}
		}
	}
	for l := range d.Leftovers(ctx) {
		t.Errorf("still there: %+v", l)
	}
	holds(t, d, "kept/o", body)
	w, err := d.Resume(ctx, "left/o", state)
	if err == nil {
		err = w.Commit(ctx)
	}
	if !errors.Is(err, drivers.ErrPrecondition) {
		t.Errorf("a stream that was dropped: %v", err)
	}
	onlyHas(t, d, "kept/o")
}

// TestTempURL opens URLs as a client does.
func TestTempURL(t *testing.T) {
	for _, digest := range []string{"sha256", "sha512", "sha1"} {
		c := at(t)
		c.TempURLKey, c.TempURLDigest = "k1", digest
		d, _ := proxied(t, c)
		ctx := t.Context()
		setKey(t, d)
		body := bytes.Repeat([]byte("0123456789"), parts.MinPart/5)
		write(t, d, "large/o", body)
		signed, err := drivers.ExtrasOf(d).Signer.SignURL(ctx, "large/o", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			url, ranged string
			want        int
			body        []byte
		}{
			{signed, "", http.StatusOK, body},
			{signed, "bytes=5-14", http.StatusPartialContent, body[5:15]},
			{strings.Replace(signed, "temp_url_sig=", "temp_url_sig=0", 1), "", http.StatusUnauthorized, nil},
			{strings.Replace(signed, "large/o", "large/p", 1), "", http.StatusUnauthorized, nil},
		} {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, test.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.ranged != "" {
				r.Header.Set("Range", test.ranged)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(answer.Body)
			if err = errors.Join(err, answer.Body.Close()); err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != test.want || test.body != nil && !bytes.Equal(got, test.body) {
				t.Errorf("%s: %s %s: status %d, %d bytes", digest, test.url, test.ranged, answer.StatusCode, len(got))
			}
		}
	}
}

// TestToken renews one that the cluster does not take any more.
func TestToken(t *testing.T) {
	d, p := proxied(t, at(t))
	if err := d.Put(t.Context(), "a/o", []byte("x")); err != nil {
		t.Fatal(err)
	}
	d.session.token = "AUTH_tk_of_yesterday"
	p.Calls()
	if err := d.Put(t.Context(), "a/o", []byte("y")); err != nil {
		t.Fatal(err)
	}
	if got := p.Calls(); !slices.Equal(got, []string{"PUT", "PUT"}) {
		t.Errorf("requests %q", got)
	}
}

// TestOpenOfWhatIsWrong names the setting.
func TestOpenOfWhatIsWrong(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"password: ":  func(c *Config) { c.Password = "wrong" },
		"container: ": func(c *Config) { c.CreateContainer = false },
		"container: test:guest": func(c *Config) {
			account, _, err := open(t, *c).session.get(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			c.Username, c.StorageURL = shared.Get(t).Other, account
		},
		"auth_url: http":      func(c *Config) { c.AuthURL = strings.Replace(c.AuthURL, "/auth/", "/nothing/", 1) },
		"auth_url: no answer": func(c *Config) { c.AuthURL = "http://127.0.0.1:1/auth/v1.0" },
	} {
		c := at(t)
		c.Attempts = 1
		change(&c)
		d, err := Open(t.Context(), c)
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "testing") {
			t.Errorf("got %v, want %s…", err, want)
		}
	}
}

// TestRights shows that a user with rights to the container alone has enough.
func TestRights(t *testing.T) {
	c := at(t)
	owner := open(t, c)
	ctx := t.Context()
	account, _, err := owner.session.get(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	guest := shared.Get(t).Other
	if _, err := owner.run(ctx, request{method: http.MethodPost, header: map[string]string{
		"X-Container-Read": guest + ",.rlistings", "X-Container-Write": guest,
	}}); err != nil {
		t.Fatal(err)
	}
	c.Username, c.StorageURL, c.CreateContainer, c.PartSize = guest, account, false, parts.MinPart
	d := open(t, c)
	if err := errors.Join(d.Put(ctx, "a/o", []byte("x")), d.Put(ctx, "a/p", []byte("x"))); err != nil { // two, for a request to the account
		t.Fatal(err)
	}
	write(t, d, "b/o", make([]byte, parts.MinPart+1))
	n := 0
	for _, err := range d.List(ctx, "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("listed %d objects", n)
	}
	onlyHas(t, d, "a/o", "a/p", "b/o")
}
