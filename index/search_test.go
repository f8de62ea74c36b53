package index

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/drivers/memory"
)

// holding is an index of documents, without a store.
func holding(memory int64, all ...document) *Index {
	ix := New(nil, nil, Options{Memory: memory})
	for _, d := range all {
		d.Rev = 1
		ix.set(d, "")
	}
	ix.end()
	return ix
}

func TestRanking(t *testing.T) {
	ix := holding(0,
		document{Repo: "web"}, document{Repo: "team/web"}, document{Repo: "website", Pulls: 5}, document{Repo: "a/webapp", Pulls: 9}, document{Repo: "cobweb"},
		document{Repo: "x", Description: "a Web server"}, document{Repo: "y", Labels: map[string]string{"kind": "Web"}}, document{Repo: "z", Annotations: map[string]string{"web": "no"}, Pulls: 1},
		document{Repo: "other", Description: "nothing"},
	)
	for _, test := range []struct {
		text string
		want []string
	}{
		{"web", []string{"web", "team/web", "a/webapp", "website", "cobweb", "x", "z", "y"}},
		{" WEB  web ", []string{"web", "team/web", "a/webapp", "website", "cobweb", "x", "z", "y"}},
		{"team/web", []string{"team/web"}},
		{"web server", []string{"x"}},
		{"kind=web", []string{"y"}},
		{"nothing at all", nil},
		{"", []string{"a/webapp", "website", "z", "cobweb", "other", "team/web", "web", "x", "y"}},
	} {
		if got := names(ix.find(Query{Text: test.text, Limit: 100}, nil)); !slices.Equal(got, test.want) {
			t.Errorf("%q: found %q, want %q", test.text, got, test.want)
		}
		var paged []string
		for after := ""; ; {
			page, err := parseCursor(after)
			if err != nil {
				t.Fatal(err)
			}
			r := ix.find(Query{Text: test.text, Limit: 2}, page)
			paged = append(paged, names(r)...)
			if after = r.Next; after == "" {
				break
			}
		}
		if !slices.Equal(paged, test.want) {
			t.Errorf("%q: by pages %q, want %q", test.text, paged, test.want)
		}
	}
}

func TestVisible(t *testing.T) {
	ix := holding(0, document{Repo: "a/1"}, document{Repo: "b/1"}, document{Repo: "a/2"})
	got := ix.find(Query{Limit: 2, Visible: func(repo string) bool { return strings.HasPrefix(repo, "a/") }}, nil)
	if !slices.Equal(names(got), []string{"a/1", "a/2"}) || got.Next != "" {
		t.Errorf("found %q, next %q", names(got), got.Next)
	}
}

func TestBadCursor(t *testing.T) {
	ix := newReplica(t, memory.New(memory.Options{}), Options{})
	for _, after := range []string{"x", "e30", "====", rank{}.cursor()} {
		if _, err := ix.Search(t.Context(), Query{After: after}); !errors.Is(err, ErrCursor) {
			t.Errorf("%q: %v", after, err)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	all := make([]document, 100)
	for i := range all {
		all[i] = document{Repo: fmt.Sprintf("r%02d", i), Description: strings.Repeat("x", 1000)}
	}
	ix := holding(50_000, all...)
	found := ix.find(Query{Limit: 100}, nil)
	if n := len(found.Repositories); n < 10 || n > 30 || !found.Incomplete || ix.used > 50_000 {
		t.Errorf("%d found, incomplete %v, %d bytes", n, found.Incomplete, ix.used)
	}
	for _, d := range all {
		ix.set(document{Repo: d.Repo, Rev: 2, Gone: true}, "")
	}
	ix.begin()
	ix.end()
	if ix.used != 0 || len(ix.entries) != 0 {
		t.Errorf("%d bytes are counted for nothing", ix.used)
	}
}

func TestLongTextsAreCut(t *testing.T) {
	all := map[string]string{"a": "1", "b": strings.Repeat("x", mostText), "c": "2"}
	if got := shortened(all); len(got) != 2 || got["a"] != "1" || got["c"] != "2" {
		t.Errorf("kept %v", got)
	}
	if got := cut("aé", 2); got != "a" {
		t.Errorf("cut is %q", got)
	}
}

func FuzzQuery(f *testing.F) {
	for _, text := range []string{"", "a", "A b  a", "\x00é\xff", "vendor=acme team/app", strings.Repeat("x ", 2000)} {
		f.Add(text)
	}
	ix := holding(0, document{Repo: "team/app", Description: "É"}, document{Repo: "b"})
	f.Fuzz(func(t *testing.T, text string) {
		words := parseWords(text)
		if len(words) > mostWords {
			t.Errorf("%d words", len(words))
		}
		if again := parseWords(strings.Join(words, " ")); !slices.Equal(again, words) && len(text) < mostQuery/2 {
			t.Errorf("%q gives %q, and that %q", text, words, again)
		}
		ix.find(Query{Text: text, Limit: 10}, nil)
		if after, err := parseCursor(text); err == nil {
			ix.find(Query{Limit: 10}, after)
		}
	})
}

// BenchmarkSearch is in 100,000 repositories.
func BenchmarkSearch(b *testing.B) {
	all := make([]document, 100_000)
	for i := range all {
		all[i] = document{
			Repo: fmt.Sprintf("team%d/app%d", i%100, i), Description: fmt.Sprintf("the application number %d of team %d, which does what it has to", i, i%100), Pulls: int64(i % 1000),
			Labels: map[string]string{"org.opencontainers.image.vendor": "acme", "org.opencontainers.image.source": fmt.Sprintf("https://git.example/team%d/app%d", i%100, i)},
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ix := holding(1<<30, all...)
	clear(all)
	runtime.GC()
	runtime.ReadMemStats(&after)
	for _, text := range []string{"", "app4711", "team7 application", "vendor=acme", "nowhere"} {
		b.Run("q="+strings.ReplaceAll(text, " ", "+"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ix.find(Query{Text: text, Limit: 25}, nil)
			}
			b.ReportMetric(float64(ix.used)/float64(len(all)), "counted-B/repo")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(all)), "heap-B/repo")
		})
	}
}
