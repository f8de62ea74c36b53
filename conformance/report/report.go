// Package report measures a store beside the conformance suite, and writes what came of both: as a table, HTML, or JUnit's XML.
package report

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	_ "embed"

	"github.com/longshore-registry/longshore/conformance"
	"github.com/longshore-registry/longshore/drivers"
)

// Report is what a run of the suite found out about a store.
type Report struct {
	Version   string               `json:"version"` // of longshore
	Driver    string               `json:"driver"`
	Store     string               `json:"store"` // where it is, without secrets
	Identity  string               `json:"identity,omitempty"`
	Began     time.Time            `json:"began"`
	Took      time.Duration        `json:"took"` // nanoseconds in JSON
	Folder    string               `json:"folder"`
	Left      []string             `json:"left,omitempty"` // what could not be removed
	Results   []conformance.Result `json:"results"`
	Abilities []drivers.Ability    `json:"abilities,omitempty"`
	Latencies []Latency            `json:"latencies,omitempty"`
	Speeds    []Speed              `json:"speeds,omitempty"`
}

// Latency is how long small requests took.
type Latency struct {
	What  string        `json:"what"`
	Count int           `json:"count"`
	P50   time.Duration `json:"p50"` // nanoseconds in JSON
	P99   time.Duration `json:"p99"`
}

// Speed is how fast the bytes of large objects went.
type Speed struct {
	What    string  `json:"what"`
	Streams int     `json:"streams"`
	MBs     float64 `json:"mb_per_second"` // of all streams together; a MB is 1,000,000 bytes
}

// Count is how many cases passed, failed, and did not apply.
func (r *Report) Count() (passed, failed, notRun int) {
	for _, c := range r.Results {
		switch {
		case c.NotRun != "":
			notRun++
		case c.Failed:
			failed++
		default:
			passed++
		}
	}
	return passed, failed, notRun
}

// Able finds out what the store can do beyond what a driver has to: from d's extras and their races, and, where the driver can say more, from itself. other
// is a second handle on the same store.
func Able(ctx context.Context, d, other drivers.Driver) []drivers.Ability {
	x := drivers.ExtrasOf(d)
	all := []drivers.Ability{
		ability("put if absent", x.Absent != nil, func() error {
			return race(func(i int) error { return x.Absent.PutIfAbsent(ctx, "able/absent", []byte{byte(i)}) }, drivers.ErrExists)
		}),
		ability("put if match", x.Match != nil, func() error {
			if err := d.Put(ctx, "able/match", []byte("first")); err != nil {
				return err
			}
			info, err := d.Stat(ctx, "able/match")
			if err != nil {
				return err
			}
			return race(func(i int) error { return x.Match.PutIfMatch(ctx, "able/match", []byte{byte(i)}, info.ETag) }, drivers.ErrPrecondition)
		}),
		ability("presigned URLs", x.Signer != nil, func() error { return opened(ctx, d, x.Signer) }),
		ability("consistent listing", true, func() error { return listed(ctx, d, other) }),
		ability("leftovers can be found", x.Sweep != nil, func() error { return nil }),
	}
	if able, ok := d.(drivers.Able); ok {
		all = append(all, able.Abilities(ctx, "able/")...)
	}
	return all
}

// ability is one that the driver offers or not, and that holds or not.
func ability(name string, offered bool, try func() error) drivers.Ability {
	if !offered {
		return drivers.Ability{Name: name, State: "no", Detail: "the driver does not offer it"}
	}
	if err := try(); err != nil {
		return drivers.Ability{Name: name, State: "no", Detail: err.Error()}
	}
	return drivers.Ability{Name: name, State: "yes"}
}

// racers is how many try at once.
const racers = 16

// race calls f by many at once: one has to succeed, the others to be refused.
func race(f func(i int) error, refused error) error {
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
		case !errors.Is(err, refused):
			return err
		}
	}
	if won != 1 {
		return fmt.Errorf("of %d at once %d succeeded", racers, won)
	}
	return nil
}

// opened opens a signed URL as a client does, whole and in part.
func opened(ctx context.Context, d drivers.Driver, s drivers.Signer) error {
	const text = "0123456789"
	if err := d.Put(ctx, "able/signed", []byte(text)); err != nil {
		return err
	}
	url, err := s.SignURL(ctx, "able/signed", time.Minute)
	if err != nil {
		return err
	}
	for ranged, want := range map[string]string{"": text, "bytes=2-4": text[2:5]} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if ranged != "" {
			r.Header.Set("Range", ranged)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return errors.New("the URL could not be opened from here") // the error holds the signature
		}
		got, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			return err
		}
		if string(got) != want {
			return fmt.Errorf("the URL was answered with status %d and %d bytes", answer.StatusCode, len(got))
		}
	}
	return nil
}

// rounds is how often a listing is looked at.
const rounds = 20

// listed looks whether a listing of another handle shows each put and delete at once.
func listed(ctx context.Context, d, other drivers.Driver) error {
	late := 0
	for i := range rounds {
		key := fmt.Sprintf("able/listed/%03d", i)
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
		return fmt.Errorf("%d of %d listings were behind", late, 2*rounds)
	}
	return nil
}

// Measure says how long small requests take, one after another, and how fast large objects of size bytes go. tell gets a word
// before each.
func Measure(ctx context.Context, d drivers.Driver, requests int, size int64, tell func(string)) (latencies []Latency, speeds []Speed, err error) {
	body := make([]byte, 4<<10)
	key := func(i int) string { return fmt.Sprintf("speed/%06d", i) }
	for _, m := range []struct {
		what string
		call func(i int) error
	}{
		{"put 4 KiB", func(i int) error { return d.Put(ctx, key(i), body) }},
		{"stat", func(i int) error { _, err := d.Stat(ctx, key(i)); return err }},
		{"read 4 KiB", func(i int) error { return drain(ctx, d, key(i)) }},
		{"list 100", func(int) error {
			n := 0
			for _, err := range d.List(ctx, "speed/", "", "") {
				if err != nil {
					return err
				}
				if n++; n == 100 {
					break
				}
			}
			return nil
		}},
		{"delete", func(i int) error { return d.Delete(ctx, key(i)) }},
	} {
		tell(m.what)
		times := make([]time.Duration, requests)
		for i := range times {
			began := time.Now()
			if err := m.call(i); err != nil {
				return latencies, speeds, fmt.Errorf("%s: %w", m.what, err)
			}
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		latencies = append(latencies, Latency{What: m.what, Count: requests, P50: times[len(times)/2], P99: times[len(times)*99/100]})
	}
	for _, streams := range []int{1, 4} {
		for _, m := range []struct {
			what string
			call func(key string) error
		}{
			{"write", func(key string) error { return fill(ctx, d, key, size) }},
			{"read", func(key string) error { return drain(ctx, d, key) }},
		} {
			tell(fmt.Sprintf("%s with %d streams", m.what, streams))
			errs := make([]error, streams)
			var all sync.WaitGroup
			began := time.Now()
			for i := range errs {
				all.Go(func() { errs[i] = m.call(fmt.Sprintf("large/%d", i)) })
			}
			all.Wait()
			if err := errors.Join(errs...); err != nil {
				return latencies, speeds, fmt.Errorf("%s: %w", m.what, err)
			}
			speeds = append(speeds, Speed{What: m.what, Streams: streams, MBs: float64(size) * float64(streams) / time.Since(began).Seconds() / 1e6})
		}
	}
	return latencies, speeds, nil
}

// fill writes size bytes.
func fill(ctx context.Context, d drivers.Driver, key string, size int64) error {
	w, err := d.Writer(ctx, key, size)
	if err != nil {
		return err
	}
	piece := make([]byte, 1<<20)
	_, _ = rand.Read(piece) // never fails; a store may compress what is all alike
	for left := size; left > 0; left -= int64(len(piece)) {
		piece = piece[:min(left, int64(len(piece)))]
		if _, err := w.Write(piece); err != nil {
			return errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
		}
	}
	return w.Commit(ctx)
}

// drain reads an object.
func drain(ctx context.Context, d drivers.Driver, key string) error {
	r, _, err := d.Reader(ctx, key, 0, -1)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

// Table is the report for a terminal. Cases that passed are counted only.
func (r *Report) Table() string {
	var b strings.Builder
	passed, failed, notRun := r.Count()
	for _, c := range r.Results {
		if c.Failed {
			fmt.Fprintf(&b, "FAIL  %s (%v)\n", c.Name, c.Took.Round(time.Millisecond))
			for _, m := range c.Messages {
				fmt.Fprintf(&b, "        %s\n", strings.ReplaceAll(strings.TrimSpace(m), "\n", "\n        "))
			}
		}
	}
	fmt.Fprintf(&b, "%-28s %6s %6s %8s\n", "method", "passed", "failed", "not run")
	for _, g := range r.groups() {
		fmt.Fprintf(&b, "%-28s %6d %6d %8d\n", g.Name, g.Passed, g.Failed, g.NotRun)
	}
	reasons := map[string]int{}
	for _, c := range r.Results {
		if c.NotRun != "" {
			reasons[c.NotRun]++
		}
	}
	for _, reason := range sortedKeys(reasons) {
		fmt.Fprintf(&b, "not run: %d, %s\n", reasons[reason], reason)
	}
	if len(r.Abilities) > 0 {
		b.WriteString("\nthe store\n")
		for _, a := range r.Abilities {
			fmt.Fprintf(&b, "  %-26s %-8s %s\n", a.Name, a.State, a.Detail)
		}
	}
	if len(r.Latencies) > 0 {
		b.WriteString("\nsmall requests                p50       p99\n")
		for _, l := range r.Latencies {
			fmt.Fprintf(&b, "  %-22s %9s %9s\n", l.What, short(l.P50), short(l.P99))
		}
	}
	if len(r.Speeds) > 0 {
		b.WriteString("\nlarge objects              streams    MB/s\n")
		for _, s := range r.Speeds {
			fmt.Fprintf(&b, "  %-26s %5d %7.0f\n", s.What, s.Streams, s.MBs)
		}
	}
	fmt.Fprintf(&b, "\n%d passed, %d failed, %d not run, in %v\n", passed, failed, notRun, r.Took.Round(time.Second))
	return b.String()
}

// short is a duration with three digits.
func short(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

// group is the cases of one method.
type group struct {
	Name                   string
	Passed, Failed, NotRun int
	Cases                  []conformance.Result
}

func (r *Report) groups() (all []*group) {
	for _, c := range r.Results {
		method, _, _ := strings.Cut(c.Name, "/")
		i := slices.IndexFunc(all, func(g *group) bool { return g.Name == method })
		if i < 0 {
			i = len(all)
			all = append(all, &group{Name: method})
		}
		g := all[i]
		g.Cases = append(g.Cases, c)
		switch {
		case c.NotRun != "":
			g.NotRun++
		case c.Failed:
			g.Failed++
		default:
			g.Passed++
		}
	}
	return all
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(m[b], m[a]) })
	return keys
}

// The elements of JUnit's XML that its readers agree on.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		When     string      `xml:"timestamp,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure,omitempty"`
		Skipped *junitMessage `xml:"skipped,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit is the report as JUnit's XML, for servers that show tests.
func (r *Report) JUnit() ([]byte, error) {
	passed, failed, notRun := r.Count()
	suite := junitSuite{
		Name: "longshore conformance " + r.Driver, Tests: passed + failed + notRun, Failures: failed, Skipped: notRun,
		Time: seconds(r.Took), When: r.Began.UTC().Format("2006-01-02T15:04:05"),
	}
	for _, c := range r.Results {
		method, name, _ := strings.Cut(c.Name, "/")
		j := junitCase{Class: "conformance." + method, Name: name, Time: seconds(c.Took)}
		if c.NotRun != "" {
			j.Skipped = &junitMessage{Message: c.NotRun}
		}
		if c.Failed {
			text := strings.Join(c.Messages, "\n")
			first, _, _ := strings.Cut(text, "\n")
			j.Failure = &junitMessage{Message: first, Text: text}
		}
		suite.Cases = append(suite.Cases, j)
	}
	out, err := xml.MarshalIndent(suite, "", "  ")
	return append([]byte(xml.Header), out...), err
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

//go:embed report.html
var page string

// HTML is the report as one page that needs no other file.
func (r *Report) HTML() ([]byte, error) {
	t, err := template.New("report").Funcs(template.FuncMap{"short": short, "join": func(s []string) string { return strings.Join(s, "\n") }}).Parse(page)
	if err != nil {
		return nil, err
	}
	passed, failed, notRun := r.Count()
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"R": r, "Groups": r.groups(), "Passed": passed, "Failed": failed, "NotRun": notRun, "Took": r.Took.Round(time.Second)})
	return b.Bytes(), err
}
