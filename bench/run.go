package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// run is what a Run has at hand.
type run struct {
	o      Options
	watch  Watch
	layers *layers
	sites  []*site
	count  atomic.Int64 // of images for a crowd
}

func newRun(o Options, w Watch) (*run, error) {
	if w.Doing == nil {
		w.Doing = func(string) {}
	}
	if w.Tick == nil {
		w.Tick = func(Step, int64, int64, time.Duration) {}
	}
	if w.End == nil {
		w.End = func(Step, Sample) {}
	}
	l, err := newLayers(o.LayerSize)
	if err != nil {
		return nil, err
	}
	r := &run{o: o, watch: w, layers: l}
	for _, t := range o.Targets {
		s := newSite(t, o)
		lists := o
		lists.Repository += "/tags"
		s.lists = newSite(t, lists)
		r.sites = append(r.sites, s)
	}
	return r, nil
}

func (r *run) close() {
	for _, s := range r.sites {
		s.transport.CloseIdleConnections()
		s.lists.transport.CloseIdleConnections()
	}
}

// workload does all rounds of one. The results are those so far, also beside an error.
func (r *run) workload(ctx context.Context, w Workload) (results []*Result, err error) {
	for _, s := range r.sites {
		if s.target.Instead != "" && !w.plain {
			return nil, fmt.Errorf("%s is no registry", s.target.Name)
		}
		if w.prepare == nil {
			continue
		}
		r.watch.Doing(fmt.Sprintf("%s: preparing %s", w.Name, s.target.Name))
		if err := w.prepare(ctx, r, s); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", s.target.Name, err)
		}
	}
	for _, s := range r.sites {
		results = append(results, &Result{Work: w.Name, Target: s.target.Name, Unit: w.Unit})
	}
	defer func() { summarize(results) }()
	for round := range r.o.Rounds {
		for i, s := range r.sites {
			step := Step{Work: w.Name, Target: s.target.Name, Round: round + 1, Rounds: r.o.Rounds}
			one, err := r.round(ctx, w, s, step)
			if err != nil {
				return results, fmt.Errorf("%s: %w", s.target.Name, err)
			}
			results[i].Rounds = append(results[i].Rounds, one)
			r.watch.End(step, one)
		}
	}
	return results, nil
}

// round measures one round.
func (r *run) round(ctx context.Context, w Workload, s *site, step Step) (one Sample, err error) {
	m := newMeter(r.o.Clients)
	limited, cancel := context.WithTimeout(ctx, r.o.Time+r.o.Patience)
	defer cancel()
	ticking, stopTicking := context.WithCancel(ctx)
	var ticker sync.WaitGroup
	ticker.Go(func() {
		t := time.NewTicker(200 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-ticking.Done():
				return
			case <-t.C:
				r.watch.Tick(step, m.done.Load(), m.failed.Load(), m.elapsed())
			}
		}
	})
	defer ticker.Wait()
	defer stopTicking()

	m.pids, m.calls = s.target.PIDs, s.target.Calls
	if w.round != nil {
		err = w.round(limited, r, s, m)
	} else {
		m.begin()
		r.work(limited, w, s, m)
	}
	one, measured := m.end()
	if err == nil {
		err = measured
	}
	if ctx.Err() != nil {
		return one, ctx.Err()
	}
	return one, err
}

// work lets all clients work until the round's time or count is over.
func (r *run) work(ctx context.Context, w Workload, s *site, m *meter) {
	over := time.Now().Add(r.o.Time)
	var claimed atomic.Int64
	var all sync.WaitGroup
	for range r.o.Clients {
		all.Go(func() {
			for time.Now().Before(over) && ctx.Err() == nil {
				if n := claimed.Add(1); r.o.Count > 0 && n > int64(r.o.Count) {
					return
				}
				began := time.Now()
				d, err := w.once(ctx, r, s, s.next.Add(1)-1)
				m.add(d, time.Since(began), err)
				if err != nil { // a target that is down is not asked without a pause
					select {
					case <-ctx.Done():
					case <-time.After(20 * time.Millisecond):
					}
				}
			}
		})
	}
	all.Wait()
}

// nextPage is where the Link header of a page of u leads.
func nextPage(u *url.URL, h http.Header) (next *url.URL, ok bool, err error) {
	target, rest, ok := strings.Cut(strings.TrimPrefix(h.Get("Link"), "<"), ">")
	if !ok || !strings.Contains(rest, "next") {
		return nil, false, nil
	}
	if next, err = u.Parse(target); err != nil {
		return nil, false, errors.New("the Link of a page is no URL")
	}
	return next, true, nil
}
