package simulation

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Int64("seed", -1, "run the schedule of this seed alone, and print it")
	first     = flag.Uint64("first", 0, "first seed of the random schedules")
	schedules = flag.Uint64("schedules", 500, "how many random schedules are run; CI runs 100000 without the race detector, and so many with it")
	share     = flag.String("share", "", "for the test's own use: which part of the schedules this process runs, as i/n")
)

// tally is what some schedules came to.
type tally struct {
	Schedules uint64
	Processes int    // that were started, those that took the place of dead ones among them
	Actors    int    // clients and collectors
	Calls     int    // to the store, scheduled one by one
	Sizes     [4]int // schedules of up to 50, 200, 1000 and more calls
	Restored  int    // tags that were had back at the end
	Faults    map[string]int
	Leaked    int      // bytes
	Failed    []uint64 // seeds
	First     string   // what the first of them did
}

func (t *tally) add(o tally) {
	if t.Faults == nil {
		t.Faults = map[string]int{}
	}
	t.Schedules += o.Schedules
	t.Processes += o.Processes
	t.Actors += o.Actors
	t.Calls += o.Calls
	t.Restored += o.Restored
	for i, n := range o.Sizes {
		t.Sizes[i] += n
	}
	t.Leaked += o.Leaked
	for kind, n := range o.Faults {
		t.Faults[kind] += n
	}
	t.Failed = append(t.Failed, o.Failed...)
	if t.First == "" {
		t.First = o.First
	}
}

// TestRandomSchedules runs clients, collectors and faults by seed. Every run with the same seed is the same.
func TestRandomSchedules(t *testing.T) {
	if *seedFlag >= 0 {
		o := inBubble(t, uint64(*seedFlag), func() *world { return runRandom(uint64(*seedFlag), breakage{}) })
		t.Log(o)
		if len(o.violations) > 0 {
			t.Fatalf("%d violations", len(o.violations))
		}
		return
	}
	if *share != "" {
		runShare(t)
		return
	}
	began := time.Now()
	all := runShares(t)
	each := func(n int) string { return fmt.Sprintf("%d (%.2f each)", n, float64(n)/float64(max(all.Schedules, 1))) }
	t.Logf("%d schedules in %v: %s processes, %s clients and collectors, %s calls to the store, %s crashes, %s failures, %s lost replies, %s delays; %d, %d, %d and %d schedules of up to 50, 200, 1000 and more calls; %d tags restored; %d bytes leaked",
		all.Schedules, time.Since(began).Round(time.Second), each(all.Processes), each(all.Actors), each(all.Calls), each(all.Faults["crashes"]), each(all.Faults["failures"]),
		each(all.Faults["lost replies"]), each(all.Faults["delays"]), all.Sizes[0], all.Sizes[1], all.Sizes[2], all.Sizes[3], all.Restored, all.Leaked)
	if len(all.Failed) > 0 {
		t.Fatalf("%d schedules failed. To see one again: go test ./registry/simulation -run TestRandomSchedules -v -seed N, with N of %v\n%s",
			len(all.Failed), all.Failed[:min(20, len(all.Failed))], all.First)
	}
	if all.Schedules != *schedules {
		t.Fatalf("%d schedules were run, not %d", all.Schedules, *schedules)
	}
}

// runShares divides the schedules between processes: the random numbers of one process can be set for one run at a time only.
func runShares(t *testing.T) (all tally) {
	n := runtime.GOMAXPROCS(0)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range n {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRandomSchedules$", "-test.timeout=0",
			fmt.Sprintf("-first=%d", *first), fmt.Sprintf("-schedules=%d", *schedules), fmt.Sprintf("-share=%d/%d", i, n))
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1", "GOGC=400")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			one, err := readTally(out)
			if waited := cmd.Wait(); err != nil {
				t.Errorf("share %d: %v, %v", i, err, waited)
			}
			mu.Lock()
			defer mu.Unlock()
			all.add(one)
		})
	}
	wg.Wait()
	return all
}

// readTally reads the first line of what a share prints.
func readTally(out io.Reader) (one tally, err error) {
	r := bufio.NewReader(out)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return one, err
	}
	if err := json.Unmarshal(line, &one); err != nil {
		rest, _ := io.ReadAll(r)
		return one, fmt.Errorf("%w: %s%s", err, line, rest)
	}
	_, err = io.Copy(io.Discard, r)
	return one, err
}

func runShare(t *testing.T) {
	var i, n uint64
	if _, err := fmt.Sscanf(*share, "%d/%d", &i, &n); err != nil {
		t.Fatal(err)
	}
	var all tally
	for seed := *first + i; seed < *first+*schedules; seed += n {
		o := inBubble(t, seed, func() *world { return runRandom(seed, breakage{}) })
		one := tally{Schedules: 1, Processes: o.processes, Actors: o.actors, Calls: o.steps, Restored: o.restored, Faults: o.faults, Leaked: o.leaked}
		for i, most := range []int{50, 200, 1000, math.MaxInt} {
			if o.steps <= most {
				one.Sizes[i]++
				break
			}
		}
		if len(o.violations) > 0 {
			one.Failed, one.First = []uint64{seed}, fmt.Sprintf("seed %d:\n%s", seed, o)
		}
		all.add(one)
	}
	line, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(line))
}
