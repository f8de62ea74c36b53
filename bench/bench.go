// Package bench measures registries: any that answers the OCI distribution API, several side by side.
//
// A workload is done on one target after the other, round by round (A B A B), so that what else the machine does at the time
// hits all of them alike. A result is the median over the rounds, and its ratio to the first target the median of the ratios
// within each round.
//
// The load itself is meant to be cheap: the bytes of layers are made once and differ in their last bytes alone, so that their
// digests cost one block of SHA-256 each; what is pulled is counted and thrown away.
package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Options say what is measured. Each field has to be set; [Defaults] does.
type Options struct {
	Targets []Target
	Work    []string // names of [Workloads], in the order in which they are done

	Rounds   int           // for each workload and target
	Time     time.Duration // of a round; operations that are under way at its end are finished
	Count    int           // operations of a round, if it does not end by Time before; 0: no bound
	Patience time.Duration // how long a round may take beyond Time before what hangs is given up

	Clients   int   // at once
	Layers    int   // of an image
	LayerSize int64 // bytes, at least [LeastLayer]
	Images    int   // that are pushed before and then pulled, or asked for
	Tags      int   // of the repository whose tags are listed
	Page      int   // entries of a page of tags or repositories
	Crowd     int   // clients of the workload crowd

	// Direct pushes a blob with POST and PUT, as a client does that knows its digest before. Otherwise as docker does: HEAD, POST, PATCH, PUT.
	Direct bool

	// Repository is where all is pushed: a name that nothing else uses. It is removed at the end, as far as the registry allows.
	Repository string

	// Keep leaves what was pushed.
	Keep bool

	// TLS is for targets that speak it; nil: the system's certificates.
	TLS *tls.Config
}

// Defaults are options for a short run, with a new name for the repository and no targets.
func Defaults() Options {
	return Options{
		Work:   []string{"push", "pull", "manifest-get", "manifest-head", "tags", "catalog", "mixed", "crowd"},
		Rounds: 3, Time: 5 * time.Second, Patience: 2 * time.Minute,
		Clients: 4, Layers: 1, LayerSize: 1_000_000, Images: 4, Tags: 1000, Page: 100, Crowd: 1000,
		Repository: "longshore-bench/" + strings.ToLower(rand.Text()[:12]),
	}
}

// Validate returns all that is wrong with the options. An error names the field.
func (o Options) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(len(o.Targets) > 0, "targets: at least one")
	names := map[string]bool{}
	for _, t := range o.Targets {
		check(!names[t.Name], "targets: two are called %s", t.Name)
		names[t.Name] = true
	}
	check(len(o.Work) > 0, "work: at least one workload")
	for _, name := range o.Work {
		_, ok := find(name)
		check(ok, "work: there is no %q; there are %s", name, strings.Join(workloadNames(), ", "))
	}
	check(o.Rounds > 0, "rounds: at least one")
	check(o.Time > 0, "time: more than nothing")
	check(o.Count >= 0, "count: 0 for no bound, or more")
	check(o.Patience > 0, "patience: more than nothing")
	check(o.Clients > 0, "clients: at least one")
	check(o.Layers > 0, "layers: at least one")
	check(o.LayerSize >= LeastLayer, "layer size: at least %d bytes, which tell one layer from another", LeastLayer)
	check(o.Images > 0 && o.Tags > 0 && o.Page > 0 && o.Crowd > 0, "images, tags, page, crowd: at least one")
	check(o.Repository != "", "repository: the name of one")
	return errors.Join(errs...)
}

// Step is one round of a workload on a target.
type Step struct {
	Work   string
	Target string
	Round  int // from 1
	Rounds int
}

// Watch is told how far a run is. Its functions are called by one goroutine at a time.
type Watch struct {
	// Doing is told what is done between rounds.
	Doing func(what string)
	// Tick is told, some times a second, how many operations a round has behind it.
	Tick func(s Step, done, failed int64, after time.Duration)
	// End is told what came of a round.
	End func(s Step, one Sample)
}

// Run measures. The report is there in any case and holds what was measured before an error: one of the options, a target that can't
// be prepared, the end of ctx. An operation that fails is no error but counted. What was pushed is removed at the end, also
// after ctx has ended; the report's Left says what stays.
func Run(ctx context.Context, o Options, w Watch) (r *Report, err error) {
	r = &Report{Began: time.Now(), Options: o.summary()}
	if err := o.Validate(); err != nil {
		return r, err
	}
	run, err := newRun(o, w)
	if err != nil {
		return r, err
	}
	defer run.close()
	for _, s := range run.sites {
		if err := s.greet(ctx); err != nil {
			return r, fmt.Errorf("%s: %w", s.target.Name, err)
		}
	}
	for _, name := range o.Work {
		work, _ := find(name)
		var results []*Result
		if results, err = run.workload(ctx, work); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		r.Results = append(r.Results, results...)
		if err != nil {
			break
		}
	}
	if !o.Keep {
		r.Left = run.clean(context.WithoutCancel(ctx))
	}
	r.Took = time.Since(r.Began)
	return r, err
}
