package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: USER_HZ, 100 on all of Linux's platforms (proc(5)).
const tick = 10 * time.Millisecond

// family is processes with their children, now.
func family(pids []int) (all []int) {
	all = slices.Clone(pids)
	for i := 0; i < len(all); i++ {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", all[i]))
		if err != nil {
			continue // it has ended
		}
		for _, thread := range threads {
			children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", all[i], thread.Name()))
			if err != nil {
				continue // likewise
			}
			for _, field := range strings.Fields(string(children)) {
				if pid, err := strconv.Atoi(field); err == nil && !slices.Contains(all, pid) {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// Processor is the time that processes and their children have spent on processors so far. It is known in steps of 10 ms. A process
// that is not there, or a system without /proc, is an error.
func Processor(pids ...int) (total time.Duration, err error) {
	for _, pid := range family(pids) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			if slices.Contains(pids, pid) {
				return 0, err
			}
			continue // a child that has ended
		}
		// The second field is the program's name in brackets, which may hold anything.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		const user, system = 14 - 3, 15 - 3
		if len(fields) <= system {
			return 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
		}
		u, err1 := strconv.ParseInt(fields[user], 10, 64)
		s, err2 := strconv.ParseInt(fields[system], 10, 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		total += time.Duration(u+s) * tick
	}
	return total, nil
}

// Resident is the memory that processes and their children have in use, in bytes. What they share counts for each. files is
// the part of it that is pages of files, of which most are the programs themselves; the system drops them when it needs room.
func Resident(pids ...int) (all, files int64, err error) {
	for _, pid := range family(pids) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			if slices.Contains(pids, pid) {
				return 0, 0, err
			}
			continue
		}
		var size, resident, shared int64 // pages; see proc(5)
		if _, err := fmt.Sscan(string(text), &size, &resident, &shared); err != nil {
			return 0, 0, fmt.Errorf("/proc/%d/statm: %w", pid, err)
		}
		all += resident * int64(os.Getpagesize())
		files += shared * int64(os.Getpagesize())
	}
	return all, files, nil
}

// Watched is what processes take while something is measured.
type Watched struct {
	pids  []int
	began time.Duration
	stop  chan struct{}
	peak  chan int64
}

// WatchProcesses begins to look at processes, every 50 ms as to their memory. [Watched.End] has to be called.
func WatchProcesses(pids ...int) (*Watched, error) {
	began, err := Processor(pids...)
	if err != nil {
		return nil, err
	}
	w := &Watched{pids: pids, began: began, stop: make(chan struct{}), peak: make(chan int64, 1)}
	go func() {
		most := int64(0)
		t := time.NewTicker(50 * time.Millisecond)
		defer t.Stop()
		for {
			if now, _, err := Resident(pids...); err == nil {
				most = max(most, now)
			}
			select {
			case <-w.stop:
				w.peak <- most
				return
			case <-t.C:
			}
		}
	}()
	return w, nil
}

// End returns the processor time and the peak of the memory since the beginning, in bytes.
func (w *Watched) End() (processor time.Duration, peak int64, err error) {
	close(w.stop)
	peak = <-w.peak
	now, err := Processor(w.pids...)
	return now - w.began, peak, err
}
