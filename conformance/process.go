package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
)

// childVariable is set in the environment of a second process.
const childVariable = "LONGSHORE_CONFORMANCE_CHILD"

// Main runs m; its result is for os.Exit. When the suite has started this program as a second
// process, Main does that process's part on the store that open opens, and does not run m.
func Main(m *testing.M, open func(ctx context.Context, where string) (drivers.Driver, error)) int {
	if os.Getenv(childVariable) == "" {
		return m.Run()
	}
	if err := Second(context.Background(), open); err != nil {
		fmt.Fprintln(os.Stderr, "conformance: second process:", err)
		return 1
	}
	return 0
}

// Second does the part of a second process, on the store that open opens, until stdin ends.
func Second(ctx context.Context, open func(ctx context.Context, where string) (drivers.Driver, error)) error {
	d, err := open(ctx, os.Getenv(childVariable))
	if err != nil {
		return err
	}
	return (&child{d: d}).serve(ctx, os.Stdin, os.Stdout)
}

// order is what the suite wants of a second process.
type order struct {
	Do    string // see child.do
	Key   string
	State []byte
	Body  []byte
	Times int
}

// reply is what came of it.
type reply struct {
	State []byte
	Size  int64
	Won   []int
	Err   string
	Stale bool // the error is of kind ErrPrecondition
}

// child is the second process. It has one Writer at a time.
type child struct {
	d drivers.Driver
	w drivers.Writer
}

// serve carries out one order after another until there are no more.
func (c *child) serve(ctx context.Context, in io.Reader, out io.Writer) error {
	orders, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r, err := c.do(ctx, o)
		if c.w != nil {
			r.Size = c.w.Size()
		}
		if err != nil {
			r.Err, r.Stale = err.Error(), errors.Is(err, drivers.ErrPrecondition)
		}
		if err := replies.Encode(r); err != nil {
			return err
		}
	}
}

func (c *child) do(ctx context.Context, o order) (r reply, err error) {
	switch o.Do {
	case "put":
		err = c.d.Put(ctx, o.Key, o.Body)
	case "writer":
		c.w, err = c.d.Writer(ctx, o.Key, -1)
	case "resume":
		c.w, err = c.d.Resume(ctx, o.Key, o.State)
	case "write":
		_, err = c.w.Write(o.Body)
	case "suspend":
		r.State, err = c.w.Suspend(ctx)
	case "commit":
		err = c.w.Commit(ctx)
	case "raise":
		err = raise(ctx, c.d, o.Key, o.Times)
	case "claim":
		r.Won, err = claim(ctx, c.d, o.Key, o.Times)
	default:
		err = fmt.Errorf("no order %q", o.Do)
	}
	return r, err
}

// claim puts key0, key1, … if they are absent and returns for which it did.
func claim(ctx context.Context, d drivers.Driver, key string, times int) (won []int, err error) {
	for i := range times {
		err := drivers.ExtrasOf(d).Absent.PutIfAbsent(ctx, key+strconv.Itoa(i), nil)
		if err == nil {
			won = append(won, i)
		} else if !errors.Is(err, drivers.ErrExists) {
			return nil, err
		}
	}
	return won, nil
}

// process is a second process, seen from the first.
type process struct {
	cmd     *exec.Cmd
	orders  *json.Encoder
	replies *json.Decoder
	stderr  bytes.Buffer
}

// start starts a second process on d's store.
func (s *suite) start(t testing.TB, d drivers.Driver) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(t.Context(), self, s.Second...)}
	p.cmd.Env = append(os.Environ(), childVariable+"="+s.Where(s.t, d))
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.orders, p.replies = json.NewEncoder(in), json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	return p
}

// ask has the process carry out o, and returns its error as one.
func (p *process) ask(o order) (reply, error) {
	var r reply
	if err := p.orders.Encode(o); err != nil {
		return r, fmt.Errorf("second process: %w: %s", err, p.stderr.String())
	}
	if err := p.replies.Decode(&r); err != nil {
		return r, fmt.Errorf("second process (does TestMain call conformance.Main?): %w: %s", err, p.stderr.String())
	}
	switch {
	case r.Stale:
		return r, fmt.Errorf("second process: %w: %s", drivers.ErrPrecondition, r.Err)
	case r.Err != "":
		return r, fmt.Errorf("second process: %s", r.Err)
	}
	return r, nil
}

// must is ask where an error fails t.
func (p *process) must(t testing.TB, o order) reply {
	t.Helper()
	r, err := p.ask(o)
	if err != nil {
		t.Fatalf("%s: %v", o.Do, err)
	}
	return r
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	_ = p.cmd.Wait()         // it was killed, which is an error to Wait
}

func processTests() []test {
	all := []test{
		{name: "Processes/see what another has put", run: func(t testing.TB, s *suite) {
			d := s.open()
			p := s.start(t, d)
			for i := range 5 {
				body := pattern(int64(i), 1000)
				p.must(t, order{Do: "put", Key: "y/folder/o", Body: body})
				holds(t, d, "y/folder/o", body)
				if got := names(list(t, d, "", "", "")); !slices.Equal(got, []string{"y/folder/o"}) {
					t.Errorf("listed %q", got)
				}
			}
		}},
		{name: "Processes/take a stream from each other", run: func(t testing.TB, s *suite) {
			d := s.open()
			body := pattern(1, 3*(5<<20+1))
			third := len(body) / 3
			first := s.start(t, d)
			first.must(t, order{Do: "writer", Key: "y/o"})
			first.must(t, order{Do: "write", Body: body[:third]})
			state := first.must(t, order{Do: "suspend"}).State
			first.kill()
			w := resume(t, d, "y/o", state)
			size(t, w, int64(third))
			write(t, w, body[third:2*third])
			state = suspend(t, w)
			second := s.start(t, d)
			if n := second.must(t, order{Do: "resume", Key: "y/o", State: state}).Size; n != int64(2*third) {
				t.Errorf("Size() = %d, want %d", n, 2*third)
			}
			second.must(t, order{Do: "write", Body: body[2*third:]})
			second.must(t, order{Do: "commit"})
			holds(t, d, "y/o", body)
		}},
		{name: "Processes/one that was killed before its first Suspend leaves nothing", run: func(t testing.TB, s *suite) {
			d := s.open()
			for _, n := range []int64{10, 6 << 20} {
				p := s.start(t, d)
				p.must(t, order{Do: "writer", Key: "y/o"})
				p.must(t, order{Do: "write", Body: pattern(1, n)})
				p.kill()
				absent(t, d, "y/o")
				if left := list(t, d, "", "", ""); len(left) > 0 {
					t.Errorf("left over: %q", names(left))
				}
			}
		}},
		{name: "Processes/one that was killed after a Resume leaves the state the newest", run: func(t testing.TB, s *suite) {
			for _, n := range []int64{10, 5<<20 + 3} {
				d := s.open()
				body := pattern(1, 2*n)
				w := begin(t, d, "y/o", -1)
				write(t, w, body[:n])
				state := suspend(t, w)
				for i := range int64(2) {
					p := s.start(t, d)
					if size := p.must(t, order{Do: "resume", Key: "y/o", State: state}).Size; size != n {
						t.Fatalf("Size() = %d, want %d", size, n)
					}
					p.must(t, order{Do: "write", Body: pattern(2+i, n+100)})
					p.kill()
				}
				w = resume(t, d, "y/o", state)
				size(t, w, n)
				write(t, w, body[n:])
				commit(t, w)
				holds(t, d, "y/o", body)
			}
		}},
		{name: "Processes/two on one state, at most one of them wins", run: func(t testing.TB, s *suite) {
			d := s.open()
			w := begin(t, d, "y/o", -1)
			head := pattern(1, 5<<20+3)
			write(t, w, head)
			state := suspend(t, w)
			p := s.start(t, d)
			p.must(t, order{Do: "resume", Key: "y/o", State: state})
			p.must(t, order{Do: "write", Body: []byte("theirs")})
			ours := func() error {
				w, err := d.Resume(t.Context(), "y/o", state)
				if err != nil {
					return err
				}
				write(t, w, []byte("ours"))
				return w.Commit(t.Context())
			}()
			_, theirs := p.ask(order{Do: "commit"})
			for _, err := range []error{ours, theirs} {
				if err != nil && !errors.Is(err, drivers.ErrPrecondition) {
					t.Fatal(err)
				}
			}
			switch {
			case ours == nil && theirs == nil:
				t.Error("both committed")
			case ours == nil:
				holds(t, d, "y/o", append(head, "ours"...))
			case theirs == nil:
				holds(t, d, "y/o", append(head, "theirs"...))
			default:
				absent(t, d, "y/o")
			}
		}},
		{name: "Processes/raise one counter with PutIfMatch and lose nothing", run: func(t testing.TB, s *suite) {
			d := s.open()
			put(t, d, "y/counter", []byte("0"))
			const processes, times = 3, 15
			s.each(t, d, processes, func(p *process) error {
				_, err := p.ask(order{Do: "raise", Key: "y/counter", Times: times})
				return err
			})
			holds(t, d, "y/counter", []byte(strconv.Itoa(processes*times)))
		}, when: func(c Config) bool { return c.Extras.Match }},
		{name: "Processes/claim keys with PutIfAbsent, each key for one", run: func(t testing.TB, s *suite) {
			d := s.open()
			const processes, times = 3, 30
			won := make(chan []int, processes)
			s.each(t, d, processes, func(p *process) error {
				r, err := p.ask(order{Do: "claim", Key: "y/claim/", Times: times})
				won <- r.Won
				return err
			})
			close(won)
			var all []int
			for w := range won {
				all = append(all, w...)
			}
			slices.Sort(all)
			if len(all) != times || len(slices.Compact(all)) != times {
				t.Errorf("%d keys were won %d times: %v", times, len(all), all)
			}
		}, when: func(c Config) bool { return c.Extras.Absent }},
	}
	for i := range all {
		also := all[i].when
		all[i].when = func(c Config) bool { return c.Where != nil && (also == nil || also(c)) }
	}
	return all
}

// each starts n second processes and then has f run with all of them at once.
func (s *suite) each(t testing.TB, d drivers.Driver, n int, f func(p *process) error) {
	t.Helper()
	var all []*process
	for i := range n {
		p := s.start(t, d)
		p.must(t, order{Do: "put", Key: numbered("y/ready/", i)})
		all = append(all, p)
	}
	if err := errors.Join(together(n, func(i int) error { return f(all[i]) })...); err != nil {
		t.Fatal(err)
	}
}
