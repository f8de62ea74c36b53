package api_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/registry"
	"github.com/longshore-registry/longshore/registry/api"
)

// row is one case of the table of requests: a name, and requests with their answers on what the requests before them stored.
//
// from is where the case comes from. A letter and a number stand for an entry of cases.md, the reports of requests
// that real registries got wrong; "spec" and a title for a section of the OCI distribution spec 1.1, "dev" for its next
// version; "clients" for what a client was seen to send; "design" for docs/design.md; "RFC" and a number for an RFC.
type row struct {
	from, name string
	steps      steps

	// run does what steps can't say; it comes after them.
	run func(*caller)

	// with sets options. Such a row has a store and servers of its own.
	with func(*options)

	// alone is for what only the process knows that took the earlier requests of the row.
	alone bool
}

type options struct {
	registry registry.Options
	api      api.Options
	wrap     func(drivers.Driver) drivers.Driver
	open     func(*testing.T) drivers.Driver // makes the store
	http2    bool                            // all requests but raw ones
	clock    *clock                          // of the registry; nil if it is not moved
	faults   *faults                         // of the store; nil if it has none
}

// steps are sent one after the other.
type steps []step

// step is a request and the answer to it. In all fields but body, $R stands for /v2/ and the name of a repository that
// no other row uses, $N for that name, $U for the newest Location of an upload, $U2 for the one in the
// answer to the second step, and $image, $index, $dimage, $dlist for the media types of manifests.
type step struct {
	// send is "METHOD path | Header: value | …". "@A" and "@B" before it choose one of two replicas, "@new" a process
	// that has just started. "RAW" sends body as it stands, "CUT" closes its half of
	// the connection after it.
	send, body string

	// want is "status CODE | Header: value | …", with a CODE for each error in the body; of an answer to HEAD there is
	// no body. The value "*" means any, "-" that there is no such header, "~" begins a regular expression.
	want string

	// gets is the body: "" for any, nothing for an empty one; "~" begins a regular expression.
	gets string
}

const nothing = "(nothing)"

// table is all rows that run over every store.
var table = sync.OnceValue(func() []row {
	return slices.Concat(
		sessionRows(), chunkRows(), finishRows(), valueRows(), replicaRows(), flowRows(), bodyRows(),
		mountRows(), blobRows(), manifestRows(), conditionRows(), tagRows(), contentRows(), invalidRows(),
		deleteRows(), repositoryRows(), pastRows(), immutableRows(), listRows(), searchRows(), referrerRows(), nameRows(), pathRows(), httpRows(), attackRows(),
	)
})

// mode is how the requests of a row find the processes that serve the store.
type mode int

const (
	one         mode = iota // one process takes all of them
	alternating             // two take turns
	restarting              // each request finds a process that has just started
)

// runTable runs all rows. Those that have options of their own get open and http2 of o.
func runTable(t *testing.T, m mode, o options) {
	shared := newSite(t, m, o)
	for _, r := range table() {
		if r.alone && m != one {
			continue
		}
		t.Run(r.from+": "+r.name, func(t *testing.T) { r.play(t, m, shared) })
	}
	checkStore(t, shared.driver)
}

// play sends the requests of a row, to shared unless it has options.
func (r row) play(t *testing.T, m mode, shared *site) {
	var s *site
	if r.with == nil {
		s = shared.in(t)
	} else {
		var o options
		if shared != nil {
			o.open, o.http2 = shared.options.open, shared.options.http2
		}
		r.with(&o)
		s = newSite(t, m, o)
	}
	c := s.caller(t)
	c.all(r.steps)
	if r.run != nil {
		r.run(c)
	}
}

// openMemory makes a store that fails the test when bytes of a blob change.
func openMemory(t *testing.T) drivers.Driver {
	return memory.New(memory.Options{Immutable: []string{"data/"}, OnViolation: func(err error) { t.Error(err) }})
}

// openFS makes a store in a folder that goes with the test.
func openFS(t *testing.T) drivers.Driver {
	d, err := fs.Open(t.Context(), fs.Config{Root: t.TempDir(), Durability: fs.Fast})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTable(t *testing.T) {
	for _, test := range []struct {
		name string
		mode mode
		options
	}{
		{"memory", one, options{open: openMemory}},
		{"memory, HTTP/2", one, options{open: openMemory, http2: true}},
		{"memory, two replicas", alternating, options{open: openMemory}},
		{"memory, a restart before each request", restarting, options{open: openMemory}},
		{"fs", one, options{open: openFS}},
		{"fs, two replicas", alternating, options{open: openFS}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			runTable(t, test.mode, test.options)
		})
	}
}

func TestTableIsComplete(t *testing.T) {
	const least = 250
	names, said := map[string]bool{}, map[string]string{}
	requests := 0
	for _, r := range slices.Concat(table(), faultRows()) {
		name := r.from + ": " + r.name
		if names[name] {
			t.Errorf("two rows are named %q", name)
		}
		names[name] = true
		requests += len(r.steps)
		if r.run != nil || r.with != nil {
			continue
		}
		var text string
		for _, s := range r.steps {
			text += fmt.Sprintf("%s\n%s\n%d %.9999s\n", s.send, s.want, len(s.body), s.body)
		}
		if other := said[text]; other != "" {
			t.Errorf("rows %q and %q say the same", other, name)
		}
		said[text] = name
	}
	t.Logf("%d rows with %d requests", len(names), requests)
	if len(names) < least {
		t.Errorf("%d rows; there ought to be %d", len(names), least)
	}
}
