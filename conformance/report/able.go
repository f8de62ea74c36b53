package report

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// Names of abilities that each report has.
const (
	putIfAbsent          = "put if absent"
	putIfMatch           = "put if match"
	conditionalMultipart = "conditional multipart"
	serverSideCopy       = "server-side copy"
	presignedURLs        = "presigned URLs"
	consistentListing    = "consistent listing"
	minimumPart          = "minimum part"
	checksumTrailers     = "checksum trailers"
	findLeftovers        = "leftovers can be found"
)

// Able finds out what a store can do beyond what a driver has to: by racing d's extras, and by asking the driver, if it is [drivers.Able]. other
// is a second handle on the same store. All keys begin with folder, which ends with a slash; what is left there the caller removes.
func Able(ctx context.Context, d, other drivers.Driver, folder string) []drivers.Ability {
	x, y := drivers.ExtrasOf(d), drivers.ExtrasOf(other)
	all := []drivers.Ability{
		offered(putIfAbsent, x.Absent != nil && y.Absent != nil, func(a *drivers.Ability) {
			either := []drivers.AbsentPutter{x.Absent, y.Absent}
			judge(a, races(drivers.ErrExists, func(round int) (func(i int) error, error) {
				key := fmt.Sprintf("%sabsent-%d", folder, round)
				return func(i int) error { return either[i%2].PutIfAbsent(ctx, key, []byte{byte(i)}) }, nil
			}))
		}),
		offered(putIfMatch, x.Match != nil && y.Match != nil, func(a *drivers.Ability) {
			either := []drivers.MatchPutter{x.Match, y.Match}
			judge(a, races(drivers.ErrPrecondition, func(round int) (func(i int) error, error) {
				key := fmt.Sprintf("%smatch-%d", folder, round)
				if err := d.Put(ctx, key, []byte("first")); err != nil {
					return nil, err
				}
				info, err := d.Stat(ctx, key)
				return func(i int) error { return either[i%2].PutIfMatch(ctx, key, []byte{byte(i)}, info.ETag) }, err
			}))
		}),
		offered(presignedURLs, x.Signer != nil, func(a *drivers.Ability) { judge(a, opened(ctx, d, x.Signer, folder+"signed")) }),
		offered(consistentListing, true, func(a *drivers.Ability) { judge(a, listed(ctx, d, other, folder+"listed/")) }),
		offered(findLeftovers, x.Sweep != nil, func(a *drivers.Ability) { a.State = "yes" }),
	}
	if able, ok := d.(drivers.Able); ok {
		all = append(all, able.Abilities(ctx, folder)...)
	}
	for _, name := range always() {
		if !slices.ContainsFunc(all, func(a drivers.Ability) bool { return a.Name == name }) {
			all = append(all, drivers.Ability{Name: name, State: "unknown", Detail: "a request of the S3 API, which the driver does not speak"})
		}
	}
	slices.SortStableFunc(all, func(a, b drivers.Ability) int { return cmp.Compare(place(a), place(b)) })
	return all
}

// always are the abilities that each report has, in this order.
func always() []string {
	return []string{
		putIfAbsent, putIfMatch, conditionalMultipart, serverSideCopy, presignedURLs, consistentListing, minimumPart, checksumTrailers, findLeftovers,
	}
}

// place is where a stands in a report: what not each report has comes last.
func place(a drivers.Ability) int {
	if i := slices.Index(always(), a.Name); i >= 0 {
		return i
	}
	return len(always())
}

// special are the abilities that not each report has.
func (r *Report) special() []drivers.Ability {
	i := slices.IndexFunc(r.Abilities, func(a drivers.Ability) bool { return place(a) == len(always()) })
	if i < 0 {
		return nil
	}
	return r.Abilities[i:]
}

// common are those that each has.
func (r *Report) common() []drivers.Ability { return r.Abilities[:len(r.Abilities)-len(r.special())] }

// offered is an ability that is tried if the driver offers it.
func offered(name string, offers bool, try func(a *drivers.Ability)) drivers.Ability {
	a := drivers.Ability{Name: name}
	if offers {
		try(&a)
	} else {
		a.State, a.Detail = "no", "the driver does not offer it"
	}
	return a
}

// wrong is an error that says what the store can't do. Any other tells nothing of that.
type wrong struct{ state, text string }

// Error is what was seen.
func (w wrong) Error() string { return w.text }

func judge(a *drivers.Ability, err error) {
	var w wrong
	switch {
	case err == nil:
		a.State = "yes"
	case errors.As(err, &w):
		a.State, a.Detail = w.state, w.text
	default:
		a.State, a.Detail = "unknown", err.Error()
	}
}

// racers is how many try at once, and heats how often.
const (
	racers = 16
	heats  = 5
)

// races calls what begin returns by many at once, some times over: one has to succeed, the others to be refused.
func races(refusal error, begin func(round int) (func(i int) error, error)) error {
	for round := range heats {
		f, err := begin(round)
		if err != nil {
			return err
		}
		errs := make([]error, racers)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() { errs[i] = f(i) })
		}
		all.Wait()
		won := 0
		for _, err := range errs {
			switch {
			case err == nil:
				won++
			case !errors.Is(err, refusal):
				return err
			}
		}
		switch {
		case won == 0:
			return wrong{"no", fmt.Sprintf("of %d at once none succeeded", racers)}
		case won > 1:
			return wrong{"ignored", fmt.Sprintf("of %d at once %d succeeded", racers, won)}
		}
	}
	return nil
}

// opened opens a signed URL as a client does, whole and in part.
func opened(ctx context.Context, d drivers.Driver, s drivers.Signer, key string) error {
	const text = "0123456789"
	if err := d.Put(ctx, key, []byte(text)); err != nil {
		return err
	}
	url, err := s.SignURL(ctx, key, time.Minute)
	if err != nil {
		return err
	}
	for _, part := range []struct{ ranged, want string }{{"", text}, {"bytes=2-4", text[2:5]}} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return errors.New("the driver's URL is none") // the error holds the signature
		}
		if part.ranged != "" {
			r.Header.Set("Range", part.ranged)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			var cause interface{ Unwrap() error }
			if errors.As(err, &cause) {
				err = cause.Unwrap() // without the URL
			}
			return fmt.Errorf("the URL can't be opened from here: %w", err)
		}
		got, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			return err
		}
		if string(got) != part.want {
			return wrong{"no", fmt.Sprintf("the URL is answered with status %d and %d bytes, not with %d", answer.StatusCode, len(got), len(part.want))}
		}
	}
	return nil
}

// rounds is how often a listing is looked at.
const rounds = 20

// listed looks whether a listing of another handle shows each put and delete at once.
func listed(ctx context.Context, d, other drivers.Driver, folder string) error {
	late := 0
	for i := range rounds {
		key := fmt.Sprintf("%s%03d", folder, i)
		for _, want := range []bool{true, false} {
			var err error
			if want {
				err = d.Put(ctx, key, nil)
			} else {
				err = d.Delete(ctx, key)
			}
			if err != nil {
				return err
			}
			found := false
			for e, err := range other.List(ctx, key, "", "") {
				if err != nil {
					return err
				}
				found = found || e.Key == key
			}
			if found != want {
				late++
			}
		}
	}
	if late > 0 {
		return wrong{"no", fmt.Sprintf("%d of %d listings were behind", late, 2*rounds)}
	}
	return nil
}
