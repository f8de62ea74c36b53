//go:build integration

package swift

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
	"github.com/longshore-registry/longshore/internal/faultproxy"
)

// proxied opens a driver on a new container through a proxy of its own, with parts of the smallest size.
func proxied(t *testing.T, change func(*Config)) (*Driver, *faultproxy.Proxy) {
	t.Helper()
	c := at(t)
	account, _, err := open(t, c).session.get(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	p := faultproxy.NewNamed(t, shared.Get(t).URL, callOf)
	c.StorageURL, c.PartSize = strings.Replace(account, shared.Get(t).URL, p.URL, 1), parts.MinPart
	if change != nil {
		change(&c)
	}
	d := open(t, c)
	p.Calls()
	return d, p
}

// write streams body to key.
func write(t *testing.T, d *Driver, key string, body []byte) {
	t.Helper()
	w, err := d.Writer(t.Context(), key, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestCalls counts the requests of each method.
func TestCalls(t *testing.T) {
	d, p := proxied(t, nil)
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
		{"Writer of two parts", stream(parts.MinPart + 1), []string{"DELETE", "DELETE", "HEAD", "Manifest", "PUT", "PUT", "PUT"}},
		{"Delete of what has segments", func() error { return d.Delete(ctx, "w/o") }, []string{"HEAD", "DeleteLarge"}},
		{"Delete of one", func() error { return d.Delete(ctx, "a/o") }, []string{"HEAD", "DELETE"}},
		{"Delete of two", func() error { return errors.Join(d.Put(ctx, "a/o", nil), d.Delete(ctx, "a/o", "a/x")) }, []string{"PUT", "HEAD", "HEAD", "DeleteMany"}},
	} {
		if err := test.call(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got := p.Calls()
		if len(got) > 5 { // parts go up beside the rest
			slices.Sort(got)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: requests %q, want %q", test.name, got, test.want)
		}
	}
	// Nothing of a stream is left, neither of one that was deleted nor of its mark.
	all, err := d.entries(ctx, "", "", "", "")
	if err != nil || len(all) > 0 {
		t.Errorf("left in the container: %v, %v", all, err)
	}
}

// TestLeftovers finds a stream that was given up, says whose it is, and drops it. A mark that was left of a stream that was
// committed goes without the segments, which are the object's.
func TestLeftovers(t *testing.T) {
	for _, kind := range []string{"slo", "dlo"} {
		d, p := proxied(t, func(c *Config) { c.LargeObjects = kind })
		ctx := t.Context()
		w, err := d.Writer(ctx, "left/o", -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, parts.MinPart+10)); err != nil {
			t.Fatal(err)
		}
		state, err := w.Suspend(ctx)
		if err != nil {
			t.Fatal(err)
		}
		body := bytes.Repeat([]byte("0123456789abcdef"), parts.MinPart/8)
		p.Set(func(call string) faultproxy.Fault { // neither the mark nor what is beside it can be removed
			if call == http.MethodDelete {
				return faultproxy.Denied
			}
			return faultproxy.Pass
		})
		write(t, d, "kept/o", body)
		p.Set(nil)
		found := make(map[string]drivers.Leftover)
		for l, err := range d.Leftovers(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			found[l.Key] = l
		}
		if l := found["left/o"]; len(found) != 2 || l.Size != parts.MinPart || time.Since(l.Began) > time.Minute {
			t.Fatalf("%s: leftovers %+v", kind, found)
		}
		for _, l := range found {
			for range 2 {
				if err := d.Drop(ctx, l); err != nil {
					t.Fatal(err)
				}
			}
		}
		for l := range d.Leftovers(ctx) {
			t.Errorf("%s: still there: %+v", kind, l)
		}
		r, _, err := d.Reader(ctx, "kept/o", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes are left of the object, %v", kind, len(got), err)
		}
		if w, err = d.Resume(ctx, "left/o", state); err == nil {
			err = w.Commit(ctx)
		}
		if !errors.Is(err, drivers.ErrPrecondition) {
			t.Errorf("%s: a stream that was dropped: %v", kind, err)
		}
		if err := d.Delete(ctx, "kept/o"); err != nil {
			t.Fatal(err)
		}
		if all, err := d.entries(ctx, "", "", "", ""); err != nil || len(all) > 0 {
			t.Errorf("%s: left in the container: %v, %v", kind, all, err)
		}
	}
}

// TestTempURL opens URLs as a client does.
func TestTempURL(t *testing.T) {
	for _, digest := range []string{"sha256", "sha512", "sha1"} {
		d, _ := proxied(t, func(c *Config) { c.TempURLKey, c.TempURLDigest = "k1", digest })
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
	d, p := proxied(t, nil)
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
	if err := d.Put(ctx, "a/o", []byte("x")); err != nil {
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
	if n != 2 {
		t.Errorf("listed %d objects", n)
	}
	if err := d.Delete(ctx, "a/o", "b/o"); err != nil {
		t.Fatal(err)
	}
}
