// Package listing is List of drivers for stores with the S3 API, above the request for one page.
package listing

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/longshore-registry/longshore/drivers"
)

// PageSize is the most entries that S3 gives in one answer.
const PageSize = 1000

// Ask is the number of entries that a request for a page asks for: as many as the caller wants ([drivers.WithListLimit]) on the
// first page, whose token is "".
func Ask(ctx context.Context, token string) int {
	if n := drivers.ListLimit(ctx); token == "" && n > 0 {
		return min(n, PageSize)
	}
	return PageSize
}

// Page is one answer of a store.
type Page struct {
	Entries []drivers.Entry // named as in the store, objects before folders
	More    bool            // it is not the last one
	Next    string          // from where the next page goes on, if there is one
}

// FromLast returns p with the name of its last entry as Next, if it has none.
func (p Page) FromLast() Page {
	if p.Next == "" {
		for _, e := range p.Entries {
			p.Next = max(p.Next, e.Key)
		}
	}
	return p
}

// Lister lists one bucket.
type Lister struct {
	Driver string // its name in errors
	Prefix string // comes before every key: "" or with a slash at its end

	// Page asks for one page of what begins with prefix and comes after start; token is the Next of the page
	// before, "" for the first. It repeats what can be repeated. All names are those of the store.
	Page func(ctx context.Context, prefix, start, token, delimiter string) (Page, error)

	// Fail is the error that a method of the driver returns: nil for nil, the context's own if that has ended,
	// else a *drivers.Error.
	Fail func(ctx context.Context, op, key string, err error) error
}

// List is List of a driver: one request for each [PageSize] entries that the caller takes; the first page is as long as the caller's
// limit, if there is one.
func (l Lister) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	const op = "list"
	bad := func(kind error, format string, args ...any) error {
		return &drivers.Error{Op: op, Driver: l.Driver, Key: prefix, Kind: kind, Err: fmt.Errorf(format, args...)}
	}
	return func(yield func(drivers.Entry, error) bool) {
		if delimiter != "" && delimiter != "/" {
			yield(drivers.Entry{}, bad(drivers.ErrInvalid, "delimiter %q is neither empty nor a slash", delimiter))
			return
		}
		if ctx.Err() != nil {
			yield(drivers.Entry{}, ctx.Err())
			return
		}
		if !keyBytes(prefix) {
			return // no key begins so; and MinIO refuses some of them
		}
		asked, start := prefix, ""
		switch {
		case dotted(prefix):
			// MinIO refuses it, though keys may begin so. All of them come after start.
			asked = prefix[:strings.LastIndex(prefix, "/")+1]
			start = l.Prefix + justBefore(prefix)
		case after > prefix && !strings.HasPrefix(after, prefix):
			return // everything that begins with prefix sorts before after
		}
		if after > prefix {
			start = l.Prefix + justBefore(after)
		}
		last, token := after, ""
		seen := map[string]bool{} // tokens since the last entry: a store may give pages of nothing
		for {
			page, err := l.Page(ctx, l.Prefix+asked, start, token, delimiter)
			if err != nil {
				yield(drivers.Entry{}, l.Fail(ctx, op, prefix, err))
				return
			}
			entries := l.sorted(page.Entries)
			if seen[page.Next] && page.More || token != "" && len(entries) > 0 && entries[0].Key < last {
				// It would go on for ever.
				yield(drivers.Entry{}, bad(drivers.ErrCorrupt, "after %q the store begins its listing again", last))
				return
			}
			for _, e := range entries {
				if e.Key <= last {
					continue // before after, or seen already: some stores repeat a folder on the next page
				}
				if !strings.HasPrefix(e.Key, prefix) {
					return // past the last one of a dotted prefix
				}
				if ctx.Err() != nil {
					yield(drivers.Entry{}, ctx.Err())
					return
				}
				last = e.Key
				clear(seen)
				if !yield(e, nil) {
					return
				}
			}
			if !page.More {
				return
			}
			token = page.Next
			seen[token] = true
		}
	}
}

// sorted puts a page's objects and folders, which S3 gives apart, into the order of their keys.
func (l Lister) sorted(all []drivers.Entry) []drivers.Entry {
	for i := range all {
		all[i].Key = strings.TrimPrefix(all[i].Key, l.Prefix)
	}
	slices.SortFunc(all, func(a, b drivers.Entry) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

// dotted reports whether the last element of s is . or .., which MinIO takes for a path that climbs.
func dotted(s string) bool {
	element := s[strings.LastIndex(s, "/")+1:]
	return element == "." || element == ".."
}

// justBefore returns s or, if MinIO would refuse that, a string a little before it.
func justBefore(s string) string {
	at := 0
	for element := range strings.SplitSeq(s, "/") {
		at += len(element)
		if element == "." || element == ".." {
			return s[:at-1] + "-~" // - is the byte before ., and ~ is above all that keys have
		}
		at++
	}
	return s
}

// keyBytes reports whether a key could begin with s.
func keyBytes(s string) bool {
	for element := range strings.SplitSeq(s, "/") {
		if len(element) > drivers.MaxElement {
			return false
		}
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '/' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return !strings.HasPrefix(s, "/") && !strings.Contains(s, "//") && !strings.Contains("/"+s, "/./") && !strings.Contains("/"+s, "/../")
}
