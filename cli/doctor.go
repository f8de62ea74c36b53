package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/longshore-registry/longshore/drivers"
)

// doctorReport is the answer of longshore doctor.
type doctorReport struct {
	OK       bool      `json:"ok"` // nothing failed; there may be warnings
	Config   string    `json:"config"`
	Driver   string    `json:"driver"`
	Store    string    `json:"store"`
	Findings []finding `json:"findings"`
}

// finding is a result below a heading.
type finding struct {
	About string `json:"about"` // settings, network, store, clients
	result
}

func (p program) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor [config.yml]",
		Short: "Look for what is wrong with a deployment, step by step",
		Long: `Go the way of a request: the settings and what contradicts in them, the store's name, connection, certificate
and clock, the credentials, each right, listings, and the URLs that clients would be redirected to. For
each fault it says what to change. Objects are written under keys that begin with "check/", and removed.

longshore check is quicker, and for every start; doctor goes on where check ends, also when the store can't be opened.
The exit code is 1 if something failed, and 0 if there are only warnings.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: configFiles,
	}
	output := addFormat(c, "table", "json")
	timeout := c.Flags().Duration("timeout", 30*time.Second, "how long each step may take")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		l, err := p.load(args)
		if err != nil {
			return err
		}
		r := doctorReport{OK: true, Config: l.origin(), Driver: l.driver.Name, Store: l.driver.place()}
		if output.value != "json" {
			fmt.Fprintf(p.stdout, "configuration: %s\nstore: %s, %s\n", r.Config, r.Driver, r.Store)
		}
		about := ""
		l.examine(ctx, *timeout, func(f finding) {
			r.OK = r.OK && f.Status != failed
			r.Findings = append(r.Findings, f)
			if output.value == "json" {
				return
			}
			if f.About != about {
				about = f.About
				fmt.Fprintf(p.stdout, "\n%s\n", about)
			}
			fmt.Fprintln(p.stdout, f.result)
		})
		if output.value == "json" {
			if err := p.printJSON(r); err != nil {
				return err
			}
		}
		switch {
		case ctx.Err() != nil:
			return adviceError{errors.New("interrupted"), "what the examination had written is removed"}
		case r.OK:
			return nil
		case output.value == "json":
			return errReported
		}
		return adviceError{errors.New("something is wrong"), "correct what failed, the first of it first, and run longshore doctor again"}
	}
	return c
}

// examine looks at everything, and tells what it finds as it goes.
func (l loaded) examine(ctx context.Context, timeout time.Duration, tell func(finding)) {
	below := func(about string) func(result) {
		return func(r result) { tell(finding{about, r}) }
	}
	for _, r := range l.contradictions() {
		below("settings")(r)
	}
	if endpoint := l.endpoint(); endpoint != "" {
		n := network{endpoint: endpoint, caFile: l.value("ca_file"), field: l.endpointField(), driver: "storage." + l.driver.Name, timeout: timeout, tell: below("network")}
		if !n.examine(ctx) {
			return // the driver would say the same, with fewer words
		}
	}
	opening, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	store, err := l.driver.open(opening)
	if err != nil {
		below("store")(result{"open", failed, l.placed(err).Error(), fixFor(err, l.openFix(err))})
		return
	}
	defer closeDriver(store)
	if i, ok := store.(interface{ Identity() string }); ok {
		below("store")(result{"credentials", passed, i.Identity(), ""})
	}
	newProbe(store, l.settings, timeout, func(r result) {
		about := "store"
		if r.Name == "redirect" {
			about = "clients"
		}
		tell(finding{about, l.recognised(r)})
	}).run(ctx)
	below("store")(l.listings(ctx, store, timeout))
}

// openFix says what to change for an error of the driver's Open, which names the setting.
func (l loaded) openFix(err error) string {
	if m := aboutKey.FindStringSubmatch(err.Error()); m != nil {
		return "correct storage." + l.driver.Name + "." + m[1]
	}
	return "correct the settings below storage." + l.driver.Name
}

// lost is what a step says when a header is lost on the way.
var lost = []struct{ said, header string }{
	{"Content-Range", "Range or Content-Range"},
	{"no Content-Length or no ETag", "Content-Length or ETag"},
	{"no ETag", "ETag"},
	{"ignores the condition", "If-None-Match or If-Match"},
}

// signed are the headers whose loss a signature shows, by the step that sends them.
var signed = map[string]string{"read": "Range", "put-if-absent": "If-None-Match", "put-if-match": "If-Match"}

// recognised adds to a step that failed what a proxy that drops a header does.
func (l loaded) recognised(r result) result {
	if r.Status == passed {
		return r
	}
	header := ""
	for _, one := range lost {
		if strings.Contains(r.Detail, one.said) {
			header = one.header
			break
		}
	}
	// The credentials have been good for the steps before, so it is not these that are wrong.
	if strings.Contains(r.Detail, "which were not signed") || strings.Contains(r.Detail, "SignatureDoesNotMatch") {
		if header = signed[r.Name]; header == "" {
			header = "that was signed, or changes one"
		}
	}
	if header != "" {
		r.Fix = "a proxy between the registry and the store drops the header " + header + ", or the store does not know it; take the proxy out of the way, or let it pass all headers"
	}
	return r
}

// listings looks whether a second handle's listings follow at once what the first one does.
func (l loaded) listings(ctx context.Context, store drivers.Driver, timeout time.Duration) result {
	const name = "listings"
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	other, err := l.driver.open(ctx)
	if err != nil {
		return result{name, failed, err.Error(), "the store could be opened once, and not again: look for a limit on connections or requests"}
	}
	defer closeDriver(other)
	key := probePrefix + strings.ToLower(rand.Text()) + "/listed"
	defer func() { _ = store.Delete(context.WithoutCancel(ctx), key) }() // a failure was told by the step before
	const rounds = 5
	for range rounds {
		for _, want := range []bool{true, false} {
			if want {
				err = store.Put(ctx, key, nil)
			} else {
				err = store.Delete(ctx, key)
			}
			found := false
			for e, listErr := range other.List(ctx, key, "", "") {
				err = errors.Join(err, listErr)
				found = found || e.Key == key
			}
			if err != nil {
				return result{name, failed, err.Error(), fixFor(err, "let the credentials list the bucket")}
			}
			if _, statErr := other.Stat(ctx, key); want && errors.Is(statErr, drivers.ErrNotFound) {
				return result{name, warned, "a second connection does not see what the first has written", "the store is the memory of one process: it can't be shared by replicas"}
			}
			if found != want {
				return result{name, warned, "a listing was behind what had been written or deleted", "tags, catalogue and referrers may lag for clients; pushes and pulls are not affected"}
			}
		}
	}
	return result{name, passed, fmt.Sprintf("%d puts and deletes were seen at once by a second connection", rounds), ""}
}
