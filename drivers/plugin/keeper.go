package plugin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// keeper starts the program, and starts it again when it has ended.
type keeper struct {
	c     Config
	tell  func(string)    // a line that the plugin has printed
	pause time.Duration   // after the first start that failed; the next ones are longer
	life  context.Context // of starts: they do not end with the call that needed them, since others wait too
	end   context.CancelFunc

	mu       sync.Mutex
	now      *process // nil: none yet
	start    *start   // the one under way, or nil
	closed   bool
	failures int       // starts in a row that failed, or that did not last
	notUntil time.Time // when the next start may be
	last     error     // why it has to be
}

// start is a start of the program, for those who wait.
type start struct {
	done chan struct{}
	p    *process
	err  error
}

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
	steady       = time.Minute // how long a plugin has to run for its end to count as the first
)

func newKeeper(c Config) *keeper {
	k := &keeper{c: c, pause: firstPause}
	k.tell = toWriter(os.Stderr, k.name())
	if c.Log != nil {
		k.tell = toLog(c.Log, k.name())
	}
	k.life, k.end = context.WithCancel(context.Background())
	return k
}

// name is the program's for people.
func (k *keeper) name() string { return filepath.Base(k.c.Command[0]) }

var errClosed = errors.New("the store is closed")

// running returns the process, which it starts if there is none or it has ended. The first end of a process is followed by a start at
// once. After one that failed, or a process that did not last, there is a pause, in which calls fail at once.
func (k *keeper) running(ctx context.Context) (*process, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return nil, errClosed
	}
	if k.start == nil {
		if k.now != nil && !k.now.client.Exited() {
			defer k.mu.Unlock()
			return k.now, nil
		}
		if k.now != nil && k.last == nil {
			k.ended(k.now)
		}
		if left := time.Until(k.notUntil); left > 0 {
			defer k.mu.Unlock()
			return nil, fmt.Errorf("%w; it is started again in %v", k.last, left.Round(100*time.Millisecond))
		}
		k.start = &start{done: make(chan struct{})}
		go k.run(k.start, k.now)
	}
	s := k.start
	k.mu.Unlock()
	select {
	case <-s.done:
		return s.p, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ended notes the end of a process.
func (k *keeper) ended(p *process) {
	k.last = fmt.Errorf("the plugin %s ended (%s)%s", k.name(), p.cmd.ProcessState, p.said.tail())
	if time.Since(p.began) > steady {
		k.failures = 0
	}
	if k.failures > 0 {
		k.wait(p.began)
	}
	k.failures++
}

// wait puts the next start off until a while after the last one, longer each time.
func (k *keeper) wait(last time.Time) {
	pause := min(k.pause<<min(max(0, k.failures-1), 20), longestPause)
	k.notUntil = last.Add(pause + rand.N(pause/2))
}

// run starts the program, once an old process is out of the way.
func (k *keeper) run(s *start, old *process) {
	if old != nil {
		old.stop()
	}
	ctx, cancel := context.WithTimeout(k.life, k.c.StartTimeout)
	defer cancel()
	p, err := newProcess(k.c, k.tell)
	if err == nil {
		err = p.open(ctx, k.c)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	defer close(s.done)
	k.start, k.now = nil, nil
	switch {
	case err != nil && k.closed:
		s.err = errClosed
		return
	case err != nil:
		s.err, k.last = err, err
		k.wait(time.Now())
		k.failures++
		return
	}
	s.p, k.now, k.last = p, p, nil
	if k.c.Log != nil {
		go k.mourn(p)
	}
}

// mourn logs the end of a process that nobody has asked to end.
func (k *keeper) mourn(p *process) {
	<-p.done
	k.mu.Lock()
	closed := k.closed
	k.mu.Unlock()
	if !closed {
		k.c.Log.Error("a storage plugin ended; the next request starts it again", "plugin", k.name(), "status", p.cmd.ProcessState.String())
	}
}

// close ends the process, and a start that is under way.
func (k *keeper) close() {
	k.mu.Lock()
	k.closed = true
	k.end()
	s := k.start
	k.mu.Unlock()
	if s != nil {
		<-s.done
	}
	k.mu.Lock()
	p := k.now
	k.now = nil
	k.mu.Unlock()
	if p != nil {
		p.stop()
	}
}
