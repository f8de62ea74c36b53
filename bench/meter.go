package bench

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Sample is one round of a workload on a target.
type Sample struct {
	Done    int64         `json:"done"`   // operations that succeeded
	Failed  int64         `json:"failed"` // operations that did not
	Bytes   int64         `json:"bytes"`  // of blobs, manifests and pages, by what succeeded
	Elapsed time.Duration `json:"elapsed"`
	P50     time.Duration `json:"p50"` // of what succeeded, as P99 and Max
	P99     time.Duration `json:"p99"`
	Max     time.Duration `json:"max"`
	First   time.Duration `json:"first,omitempty"` // median time to the first byte of a blob

	Processor time.Duration `json:"processor,omitempty"` // of the target's processes
	Peak      int64         `json:"peak,omitempty"`      // bytes of memory of the target's processes, the most there was
	Calls     int64         `json:"calls,omitempty"`     // by the target's Calls

	// Failures are the first few different reasons.
	Failures []string `json:"failures,omitempty"`
}

// Rate is operations a second.
func (s Sample) Rate() float64 { return perSecond(float64(s.Done), s.Elapsed) }

func perSecond(n float64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return n / d.Seconds()
}

// meter measures a round. begin and end frame what is measured; add can be called by many at once.
type meter struct {
	done, failed atomic.Int64
	pids         []int
	calls        func() int64

	mu       sync.Mutex
	began    time.Time
	before   int64 // calls
	watched  *Watched
	err      error
	took     []time.Duration
	firsts   []time.Duration
	bytes    int64
	failures []string
}

func newMeter(clients int) *meter { return &meter{took: make([]time.Duration, 0, 1024*clients)} }

func (m *meter) begin() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.pids) > 0 {
		m.watched, m.err = WatchProcesses(m.pids...)
	}
	if m.calls != nil {
		m.before = m.calls()
	}
	m.began = time.Now()
}

func (m *meter) elapsed() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.began.IsZero() {
		return 0
	}
	return time.Since(m.began)
}

const fewFailures = 5

func (m *meter) add(d done, took time.Duration, err error) {
	if err != nil {
		m.failed.Add(1)
	} else {
		m.done.Add(1)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		text := reason(err)
		if len(m.failures) < fewFailures && !slices.Contains(m.failures, text) {
			m.failures = append(m.failures, text)
		}
		return
	}
	m.bytes += d.bytes
	m.took = append(m.took, took)
	if d.first > 0 {
		m.firsts = append(m.firsts, d.first)
	}
}

// reason is err for people.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "took too long"
	}
	return err.Error()
}

func (m *meter) end() (s Sample, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.began.IsZero() {
		return s, m.err // it did not come to that
	}
	s.Elapsed = time.Since(m.began)
	if m.calls != nil {
		s.Calls = m.calls() - m.before
	}
	err = m.err
	if m.watched != nil {
		s.Processor, s.Peak, err = m.watched.End()
	}
	s.Done, s.Failed, s.Bytes, s.Failures = m.done.Load(), m.failed.Load(), m.bytes, m.failures
	slices.Sort(m.took)
	s.P50, s.P99, s.Max = quantile(m.took, 0.5), quantile(m.took, 0.99), quantile(m.took, 1)
	slices.Sort(m.firsts)
	s.First = quantile(m.firsts, 0.5)
	return s, err
}

// quantile is the smallest of the sorted values that at least the share q of them does not exceed; 0 if there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := int(q*float64(len(sorted)) + 0.999999)
	return sorted[min(max(i, 1), len(sorted))-1]
}
