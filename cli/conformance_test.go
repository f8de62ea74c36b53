package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/conformance/report"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// double is a memory store with faults: the functions that are not nil stand in for the method.
type double struct {
	*memory.Driver
	stat   func(context.Context, string) (drivers.Info, error)
	put    func(context.Context, string, []byte) error
	delete func(context.Context, ...string) error
}

func (d *double) Stat(ctx context.Context, key string) (drivers.Info, error) {
	if d.stat != nil {
		return d.stat(ctx, key)
	}
	return d.Driver.Stat(ctx, key)
}

func (d *double) Put(ctx context.Context, key string, body []byte) error {
	if d.put != nil {
		return d.put(ctx, key, body)
	}
	return d.Driver.Put(ctx, key, body)
}

func (d *double) Delete(ctx context.Context, keys ...string) error {
	if d.delete != nil {
		return d.delete(ctx, keys...)
	}
	return d.Driver.Delete(ctx, keys...)
}

// conform runs longshore conformance on d, as a driver of another program's.
func conform(t *testing.T, d *double, args ...string) (code int, out, log string) {
	t.Helper()
	if d.Driver == nil {
		d.Driver = memory.New(memory.Options{})
	}
	var stdout, stderr bytes.Buffer
	p := program{stdout: &stdout, stderr: &stderr, env: []string{"LONGSHORE_STORAGE=double"}, more: []Driver{
		NewDriver("double", "A driver with faults.", memory.Defaults(),
			func(context.Context, memory.Config) (*double, error) { return d, nil }, func(memory.Config) string { return "nowhere" }),
	}}
	code = p.run(append([]string{"conformance", "--one-process"}, args...))
	return code, stdout.String(), stderr.String()
}

// keysOf are all that a store has, apart from the driver's own methods.
func keysOf(t *testing.T, d *double) (keys []string) {
	t.Helper()
	for e, err := range d.Driver.List(context.Background(), "", "", "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key)
	}
	return keys
}

// A driver that stores a byte less, and one that fails with odd words: the case is named, and what it said is in all reports.
func TestConformanceOfABrokenDriver(t *testing.T) {
	d := &double{}
	d.put = func(ctx context.Context, key string, body []byte) error {
		if strings.Contains(key, "/p/") && len(body) > 10 {
			return errors.New("<b>no & never</b>")
		}
		return d.Driver.Put(ctx, key, body)
	}
	html, junit := filepath.Join(t.TempDir(), "r.html"), filepath.Join(t.TempDir(), "r.xml")
	code, out, log := conform(t, d, "--run", "^Put/", "--html", html, "--junit", junit)
	if code != exitFailed || !strings.Contains(out, "FAIL  Put/") || !strings.Contains(out, "<b>no & never</b>") || !strings.Contains(log, "failed: Put/") ||
		!strings.Contains(log, "failed\nThe store or its driver does not do what the registry relies on") {
		t.Errorf("code %d: %s%s", code, out, log)
	}
	page, err := os.ReadFile(html)
	if err != nil || !strings.Contains(string(page), "&lt;b&gt;no &amp; never&lt;/b&gt;") || strings.Contains(string(page), "<b>no") {
		t.Errorf("HTML, %v: %s", err, page)
	}
	suite, err := os.ReadFile(junit)
	if err != nil || !strings.Contains(string(suite), "&lt;b&gt;no &amp; never&lt;/b&gt;") || strings.Contains(string(suite), `failures="0"`) {
		t.Errorf("JUnit, %v: %s", err, suite)
	}
	if left := keysOf(t, d); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestConformanceOfADriverThatPanics(t *testing.T) {
	d := &double{}
	d.put = func(ctx context.Context, key string, body []byte) error {
		if len(body) > 1000 {
			panic("out of paper")
		}
		return d.Driver.Put(ctx, key, body)
	}
	code, out, _ := conform(t, d, "--run", "^(Put|PutIfAbsent)/")
	if code != exitFailed || !strings.Contains(out, "panic: out of paper") || !strings.Contains(out, "conformance_test.go") || !strings.Contains(out, "PutIfAbsent                       5") {
		t.Errorf("code %d: %s", code, out)
	}
	if left := keysOf(t, d); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// What can't be removed is named, whatever else went wrong.
func TestConformanceTellsWhatIsLeft(t *testing.T) {
	d := &double{}
	stuck := ""
	d.delete = func(ctx context.Context, keys ...string) error {
		for _, key := range keys {
			if strings.HasSuffix(key, "/shared") || stuck != "" && key != stuck {
				continue
			}
			stuck = key
			rest := slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return k == key })
			return errors.Join(d.Driver.Delete(ctx, rest...), &drivers.Error{Op: "delete", Driver: "double", Key: key, Kind: drivers.ErrDenied})
		}
		return d.Driver.Delete(ctx, keys...)
	}
	code, out, log := conform(t, d, "--run", "^Put/", "-o", "json")
	var r report.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if left := keysOf(t, d); code != exitFailed || len(left) != 1 || !slices.Equal(r.Left, left) || !strings.Contains(log, "one object below "+r.Folder+" could not be removed") {
		t.Errorf("code %d, left %q of %q: %s", code, r.Left, left, log)
	}
}

// A store whose answers do not come is left alone after --timeout.
func TestConformanceOfASilentStore(t *testing.T) {
	d := &double{}
	d.stat = func(ctx context.Context, key string) (drivers.Info, error) {
		if strings.Contains(key, "/k/") || strings.HasSuffix(key, "/shared") {
			return d.Driver.Stat(ctx, key)
		}
		<-ctx.Done()
		return drivers.Info{}, ctx.Err()
	}
	code, out, _ := conform(t, d, "--run", "^Stat/", "--timeout", "50ms")
	if code != exitFailed || !strings.Contains(out, "it had 50ms") || !strings.Contains(out, "deadline exceeded") {
		t.Errorf("code %d: %s", code, out)
	}
}

func TestConformanceProgress(t *testing.T) {
	var out bytes.Buffer
	cases := []conformance.Result{{Name: "Put/a"}, {Name: "Put/b", Failed: true}, {Name: "Stat/c", NotRun: "no"}}
	show := func(g *progress) {
		for i, c := range cases {
			g.begin(i+1, len(cases), c.Name)
			g.end(i+1, len(cases), c)
		}
		g.doing("measuring")
		g.clear()
	}
	show(&progress{out: &out, began: time.Now()})
	want := "failed: Put/b\n   2  Put            1 passed, 1 failed, 0 not run, after 0s\n   3  Stat           0 passed, 0 failed, 1 not run, after 0s\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
	out.Reset()
	show(&progress{out: &out, began: time.Now(), terminal: true})
	want = "\r\x1b[K1 of 3, 0s  Put/a\r\x1b[K2 of 3, 0s  Put/b\r\x1b[Kfailed: Put/b\n\r\x1b[K3 of 3, 0s  Stat/c\r\x1b[Kmeasuring\r\x1b[K"
	if out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}
