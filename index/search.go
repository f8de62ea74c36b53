package index

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// Query is what somebody looks for.
type Query struct {
	Text    string                 // words; each has to be in the name, the description, a label or an annotation. "": everything
	Limit   int                    // at most so many; 0: none
	After   string                 // Result.Next of the page before; "" for the first one
	Visible func(repo string) bool // what may be found; nil: everything
}

// Result is a page of what was found, the best first.
type Result struct {
	Repositories []About
	Next         string // for Query.After; "" at the end
	Incomplete   bool   // not everything was looked through: the index is still being read, or does not fit into memory
}

// ErrCursor says that Query.After is none that a Result has given.
var ErrCursor = errors.New("the position is not one that a search has given")

// How well a repository fits.
const (
	none          = iota
	byText        // in a label or annotation
	byDescription // in the description
	byName        // in the name
	byPrefix      // the name, or its last part, begins with it
	byLastPart    // it is the name's last part
	byWhole       // it is the name
)

// rank is the place of a repository among others: better fits first, then those that are pulled more, then by name.
type rank struct {
	Fit   int    `json:"f"`
	Pulls int64  `json:"p"`
	Repo  string `json:"r"`
}

func (a rank) compare(b rank) int {
	return cmp.Or(-cmp.Compare(a.Fit, b.Fit), -cmp.Compare(a.Pulls, b.Pulls), strings.Compare(a.Repo, b.Repo))
}

// Search finds repositories. It takes no request to the store, or, if the last one was some seconds ago, one for what other replicas have written since and one
// for each that wrote. If that does not work it answers from what is known. The error is ErrCursor.
func (ix *Index) Search(ctx context.Context, q Query) (Result, error) {
	after, err := parseCursor(q.After)
	if err != nil {
		return Result{}, err
	}
	ix.report("what other replicas know could not be read; a search was answered without it", ix.look(ctx))
	return ix.find(q, after), nil
}

// find answers from memory.
func (ix *Index) find(q Query, after *rank) Result {
	words := parseWords(q.Text)
	ix.mu.RLock()
	found := ranks{}
	for _, e := range ix.entries {
		if fit := e.fit(words); fit != none {
			if r := (rank{fit, e.Pulls, e.Repo}); after == nil || r.compare(*after) > 0 {
				found = append(found, r)
			}
		}
	}
	result := Result{Repositories: []About{}, Incomplete: ix.left || !ix.complete}
	ix.mu.RUnlock()
	// Most are never looked at: neither sorted, nor is the policy asked.
	heap.Init(&found)
	var last rank
	for len(found) > 0 && q.Limit > 0 {
		best := found[0]
		heap.Pop(&found)
		if q.Visible != nil && !q.Visible(best.Repo) {
			continue
		}
		if len(result.Repositories) == q.Limit {
			result.Next = last.cursor()
			break
		}
		if about, ok := ix.About(best.Repo); ok {
			result.Repositories = append(result.Repositories, about)
			last = best
		}
	}
	return result
}

// About is what is known of a repository; false if nothing is.
func (ix *Index) About(repo string) (About, bool) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	e := ix.entries[repo]
	if e == nil || e.gone {
		return About{}, false
	}
	return e.About, true
}

// ranks is a heap.
type ranks []rank

func (r ranks) Len() int           { return len(r) }
func (r ranks) Less(i, j int) bool { return r[i].compare(r[j]) < 0 }
func (r ranks) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *ranks) Push(x any)        { *r = append(*r, x.(rank)) }
func (r *ranks) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

// fit is that of the word that fits worst.
func (e *entry) fit(words []string) int {
	if e.gone {
		return none
	}
	if len(words) == 0 {
		return byText
	}
	worst := byWhole
	for _, word := range words {
		if worst = min(worst, e.fitOf(word)); worst == none {
			return none
		}
	}
	return worst
}

func (e *entry) fitOf(word string) int {
	lastPart := e.Repo[strings.LastIndexByte(e.Repo, '/')+1:]
	switch {
	case e.Repo == word:
		return byWhole
	case lastPart == word:
		return byLastPart
	case strings.HasPrefix(e.Repo, word), strings.HasPrefix(lastPart, word):
		return byPrefix
	case strings.Contains(e.Repo, word):
		return byName
	case strings.Contains(e.lower, word):
		return byDescription
	case strings.Contains(e.text, word):
		return byText
	}
	return none
}

// The most of a query that counts.
const (
	mostQuery = 1 << 10 // bytes
	mostWords = 16
)

// parseWords takes the words of a query apart: in lower case, each once.
func parseWords(text string) []string {
	var words []string
	seen := map[string]bool{}
	for _, word := range strings.Fields(strings.ToLower(cut(text, mostQuery))) {
		if !seen[word] && len(words) < mostWords {
			seen[word] = true
			words = append(words, word)
		}
	}
	return words
}

// cursor is the place after r.
func (r rank) cursor() string {
	text, err := json.Marshal(r)
	if err != nil {
		return "" // it is made of numbers and a name
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(text string) (*rank, error) {
	if text == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	var r rank
	if err != nil || !utf8.Valid(b) || json.Unmarshal(b, &r) != nil || r.Repo == "" {
		return nil, ErrCursor
	}
	return &r, nil
}
