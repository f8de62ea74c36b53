package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// tried logs in, and says how long that took and when the next attempt can be made.
func tried(t *testing.T, c *Control, cred Credentials) (took, retryAfter time.Duration, err error) {
	began := time.Now()
	_, err = c.Identify(t.Context(), cred)
	var throttled *ThrottledError
	if errors.As(err, &throttled) {
		retryAfter = throttled.RetryAfter
	}
	return time.Since(began), retryAfter, err
}

func TestFailuresAreAnsweredLaterAndLaterThenRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &people{passwords: map[string]string{"alice": "right"}}
		c := newControl(t, ControlOptions{Passwords: []Passwords{source}})
		for _, name := range []string{"alice", "nobody"} { // no difference between them
			var got []time.Duration
			address := map[string]string{"alice": "192.0.2.1", "nobody": "198.51.100.1"}[name]
			for i := range 10 {
				took, _, err := tried(t, c, password(name, fmt.Sprint("wrong", i), address))
				if !errors.Is(err, ErrRefused) {
					t.Fatalf("%s: guess %d: %v", name, i, err)
				}
				got = append(got, took)
			}
			const ms = time.Millisecond
			want := []time.Duration{250 * ms, 250 * ms, 250 * ms, 500 * ms, 1000 * ms, 2000 * ms, 2000 * ms, 2000 * ms, 2000 * ms, 2000 * ms}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: answered after %v, want %v", name, got, want)
			}
			asked := source.asked.Load()
			took, retry, err := tried(t, c, password(name, "right", address))
			if retry < 10*time.Second || retry > 30*time.Second || took != 0 || source.asked.Load() != asked {
				t.Errorf("%s: the eleventh: %v after %v", name, err, took)
			}
			time.Sleep(retry)
			if _, retry, err := tried(t, c, password(name, "right", address)); retry > 0 || name == "alice" && err != nil {
				t.Errorf("%s: when it had been told to try again: %v", name, err)
			}
		}
	})
}

// TestAGuesserWithManyAddresses has as many guesses at an account as one with a single address. The account's owner, who
// has logged in lately from where he is, does not notice.
func TestAGuesserWithManyAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &people{passwords: map[string]string{"alice": "right"}}
		c := newControl(t, ControlOptions{Passwords: []Passwords{source}})
		owner := password("alice", "right", "192.0.2.1")
		if _, _, err := tried(t, c, owner); err != nil {
			t.Fatal(err)
		}
		began, before := time.Now(), source.asked.Load()
		for i := range 1000 {
			address := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}).String()
			tried(t, c, password("alice", fmt.Sprint(i), address))
		}
		guesses, most := source.asked.Load()-before, 10+int64(time.Since(began)/(30*time.Second))
		if guesses > most {
			t.Errorf("%d guesses in %v, want at most %d", guesses, time.Since(began), most)
		}
		time.Sleep(time.Minute) // what was remembered is over
		for i := range 1000 {
			tried(t, c, password("alice", fmt.Sprint("more", i), "203.0.113.1"))
		}
		if took, _, err := tried(t, c, owner); err != nil || took != 0 {
			t.Errorf("the owner: %v after %v", err, took)
		}
		// At his own address nobody has more guesses than elsewhere.
		before = source.asked.Load()
		began = time.Now()
		for i := range 100 {
			tried(t, c, password("alice", fmt.Sprint("same", i), "192.0.2.1"))
		}
		if guesses, most := source.asked.Load()-before, 10+int64(time.Since(began)/(30*time.Second)); guesses > most {
			t.Errorf("%d guesses from his address, want at most %d", guesses, most)
		}
	})
}

// TestPasswordSpraying: one guess at each of many accounts from one address, which no counter of an account notices. An
// account of his own does not help the guesser, and those who work at the same address go on.
func TestPasswordSpraying(t *testing.T) {
	for _, addresses := range []func(i int) string{
		func(int) string { return "192.0.2.1" },
		func(int) string { return "::ffff:192.0.2.1" },
		func(i int) string { return fmt.Sprintf("2001:db8:1:2::%x", i) }, // of one customer
	} {
		synctest.Test(t, func(t *testing.T) {
			source := &people{passwords: map[string]string{"mallory": "own", "alice": "right"}}
			c := newControl(t, ControlOptions{Passwords: []Passwords{source}, Remember: -1})
			if _, _, err := tried(t, c, password("alice", "right", addresses(0))); err != nil {
				t.Fatal(err)
			}
			began, guesses := time.Now(), int64(0)
			for i := range 2000 {
				before := source.asked.Load()
				tried(t, c, password(fmt.Sprint("user", i), "Autumn2026!", addresses(0)))
				guesses += source.asked.Load() - before
				if i%10 == 0 {
					tried(t, c, password("mallory", "own", addresses(0)))
				}
			}
			if most := 50 + int64(time.Since(began)/(10*time.Second)); guesses > most {
				t.Errorf("%d guesses in %v, want at most %d", guesses, time.Since(began), most)
			}
			if _, retry, err := tried(t, c, password("bob", "right", addresses(1))); retry == 0 {
				t.Errorf("from that address: %v, want it throttled", err)
			}
			if _, _, err := tried(t, c, password("alice", "right", addresses(0))); err != nil {
				t.Errorf("who works there: %v", err)
			}
			if _, retry, err := tried(t, c, password("bob", "right", "198.51.100.7")); retry > 0 {
				t.Errorf("from elsewhere: %v", err)
			}
		})
	}
}

// TestGuessesAtTheSameMoment are no more than after each other.
func TestGuessesAtTheSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &people{passwords: map[string]string{"alice": "right"}}
		c := newControl(t, ControlOptions{Passwords: []Passwords{source}})
		done := make(chan error)
		for i := range 1000 {
			go func() {
				_, err := c.Identify(t.Context(), password("alice", fmt.Sprint(i), "192.0.2.1"))
				done <- err
			}()
		}
		for range 1000 {
			<-done
		}
		if n := source.asked.Load(); n > 10 {
			t.Errorf("%d guesses", n)
		}
	})
}

// TestWhatIsNoGuess costs no guesses: tokens, sources that are down, and good passwords.
func TestWhatIsNoGuess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &people{passwords: map[string]string{"alice": "right"}}
		down := &people{err: errors.New("down")}
		c := newControl(t, ControlOptions{Passwords: []Passwords{source}, Remember: -1})
		broken := newControl(t, ControlOptions{Passwords: []Passwords{down}})
		for i := range 200 {
			_, _ = c.Identify(t.Context(), Credentials{Token: fmt.Sprint(i), Address: netip.MustParseAddr("192.0.2.1")})
			if _, _, err := tried(t, c, password("alice", "right", "192.0.2.1")); err != nil {
				t.Fatal(err)
			}
			if _, retry, err := tried(t, broken, password("alice", fmt.Sprint(i), "192.0.2.1")); retry > 0 {
				t.Fatal(err)
			}
		}
	})
}

func TestThrottleOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newControl(t, ControlOptions{Passwords: []Passwords{&people{}}, Throttle: ThrottleOptions{Off: true}})
		for i := range 100 {
			if took, _, err := tried(t, c, password("alice", fmt.Sprint(i), "192.0.2.1")); !errors.Is(err, ErrRefused) || took != 0 {
				t.Fatalf("%v after %v", err, took)
			}
		}
	})
}

// TestAClientThatGoesAway does not wait for its answer.
func TestAClientThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newControl(t, ControlOptions{Passwords: []Passwords{&people{}}})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(10 * time.Millisecond)
			cancel()
		}()
		began := time.Now()
		if _, err := c.Identify(ctx, password("alice", "x", "192.0.2.1")); !errors.Is(err, context.Canceled) || time.Since(began) != 10*time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		time.Sleep(time.Minute) // the check itself goes on to its end
	})
}
