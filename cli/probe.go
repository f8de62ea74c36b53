package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

const (
	// probePrefix is where the check writes. No record of a registry begins like that.
	probePrefix = "check/"

	// probeLarge is the size of the object that goes up as a stream: more than a part of any
	// store, so that it takes the way of a layer.
	probeLarge = 20 << 20

	slowLatency  = 200 * time.Millisecond
	clockWarning = time.Minute // S3 refuses requests at 15 minutes
)

// probe tries a store the way a registry uses it.
type probe struct {
	store    drivers.Driver
	extras   drivers.Extras
	redirect redirectSettings
	timeout  time.Duration // of each step
	tell     func(result)
	folder   string // the keys of this run begin so
	body     []byte // of the first object
	wrote    bool   // there may be something to delete
	broken   bool   // the steps that follow would say nothing new
}

func newProbe(store drivers.Driver, s *settings, timeout time.Duration, tell func(result)) *probe {
	id := strings.ToLower(rand.Text())
	return &probe{
		store: store, extras: drivers.ExtrasOf(store), redirect: s.Redirect, timeout: timeout, tell: tell,
		folder: probePrefix + id + "/", body: []byte("longshore check " + id),
	}
}

// run does all steps, then removes what they wrote, even if ctx has ended.
func (p *probe) run(ctx context.Context) {
	p.step(ctx, "reach", "", p.reach)
	p.step(ctx, "create", "let the credentials write objects", p.create)
	p.step(ctx, "read", "let the credentials read objects", p.read)
	p.step(ctx, "list", "let the credentials list the bucket", p.list)
	p.step(ctx, "put-if-absent", "use a store that heeds If-None-Match, or look whether a proxy before it drops the header", p.putIfAbsent)
	p.step(ctx, "put-if-match", "use a store that heeds If-Match, or look whether a proxy before it drops the header", p.putIfMatch)
	p.step(ctx, "upload", "let the credentials make multipart uploads and list their parts", p.upload)
	p.step(ctx, "cancel", "let the credentials abort multipart uploads", p.cancel)
	p.step(ctx, "clock", "", p.clock)
	p.step(ctx, "latency", "", p.latency)
	if p.redirect.Enabled {
		p.step(ctx, "redirect", "set redirect.enabled to false, or let the store answer under its public address", p.signed)
	}
	if !p.wrote {
		return
	}
	p.broken = false
	p.step(context.WithoutCancel(ctx), "delete", "let the credentials delete objects; remove "+p.folder+" by hand", p.delete)
}

// step runs one step and tells how it ended. A step returns what it found, and an error that may be a
// warning.
func (p *probe) step(ctx context.Context, name, fix string, do func(context.Context) (string, error)) {
	if p.broken || ctx.Err() != nil {
		return
	}
	limited, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	began := time.Now()
	detail, err := do(limited)
	var w warning
	switch {
	case ctx.Err() != nil:
	case errors.As(err, &w):
		p.tell(result{name, warned, w.what, w.fix})
	case err != nil:
		p.broken = name == "reach" || name == "create"
		p.tell(result{name, failed, err.Error(), fixFor(err, fix)})
	default:
		p.tell(result{name, passed, cmp.Or(detail, took(began)), ""})
	}
}

// warning is a finding with which a registry can live.
type warning struct{ what, fix string }

func (w warning) Error() string { return w.what }

// reach asks for an object that is not there.
func (p *probe) reach(ctx context.Context) (string, error) {
	began := time.Now()
	_, err := p.store.Stat(ctx, p.folder+"absent")
	if err == nil {
		return "", errors.New("the store says that it has an object which nobody wrote")
	}
	if !errors.Is(err, drivers.ErrNotFound) {
		return "", err
	}
	return "the store answers within " + took(began), nil
}

func (p *probe) create(ctx context.Context) (string, error) {
	p.wrote = true
	return "", p.store.Put(ctx, p.folder+"small", p.body)
}

func (p *probe) read(ctx context.Context) (string, error) {
	if err := p.expect(ctx, p.folder+"small", 0, -1, p.body); err != nil {
		return "", err
	}
	return "", p.expect(ctx, p.folder+"small", 4, 6, p.body[4:10])
}

// expect reads a range and compares.
func (p *probe) expect(ctx context.Context, key string, offset, length int64, want []byte) error {
	body, info, err := p.store.Reader(ctx, key, offset, length)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(io.LimitReader(body, int64(len(want))+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s: asked for %d bytes from %d of %d, got %d others: %w", key, len(want), offset, info.Size, len(got), drivers.ErrCorrupt)
	}
	return nil
}

func (p *probe) list(ctx context.Context) (string, error) {
	began := time.Now()
	keys, err := p.keys(ctx)
	if err != nil {
		return "", err
	}
	if !slices.Contains(keys, p.folder+"small") {
		return "", warning{"an object that was just written is not in the listing yet", "give garbage collection a grace period longer than the store's listings lag"}
	}
	return took(began), nil
}

// keys lists what this run has written.
func (p *probe) keys(ctx context.Context) ([]string, error) {
	var keys []string
	for e, err := range p.store.List(ctx, p.folder, "", "") {
		if err != nil {
			return nil, err
		}
		keys = append(keys, e.Key)
	}
	return keys, nil
}

// oneCollector is what a store without put-if-absent means.
const oneCollector = "pushes work; let no more than one process collect garbage"

func (p *probe) putIfAbsent(ctx context.Context) (string, error) {
	if p.extras.Absent == nil {
		return "", warning{"the driver has none", oneCollector}
	}
	err := p.extras.Absent.PutIfAbsent(ctx, p.folder+"small", []byte("another body"))
	if err == nil {
		return "", warning{"the store replaced an object that was there: it ignores the condition", oneCollector}
	}
	if !errors.Is(err, drivers.ErrExists) {
		return "", err
	}
	// Some stores look first and write then.
	const racers = 8
	var wins [racers]error
	var wait sync.WaitGroup
	for i := range racers {
		wait.Go(func() { wins[i] = p.extras.Absent.PutIfAbsent(ctx, p.folder+"race", []byte{byte('0' + i)}) })
	}
	wait.Wait()
	won := 0
	for _, err := range wins {
		if err == nil {
			won++
		} else if !errors.Is(err, drivers.ErrExists) {
			return "", err
		}
	}
	if won != 1 {
		return "", warning{fmt.Sprintf("%d of %d that raced for one key were told that they made the object", won, racers), oneCollector}
	}
	return fmt.Sprintf("one of %d that raced won", racers), nil
}

func (p *probe) putIfMatch(ctx context.Context) (string, error) {
	if p.extras.Match == nil {
		return "", warning{"the driver has none", "tags that are pushed at the same moment may miss each other's history"}
	}
	key := p.folder + "match"
	if err := p.store.Put(ctx, key, []byte("first")); err != nil {
		return "", err
	}
	before, err := p.store.Stat(ctx, key)
	if err != nil {
		return "", err
	}
	if err := p.extras.Match.PutIfMatch(ctx, key, []byte("second"), before.ETag); err != nil {
		return "", err
	}
	err = p.extras.Match.PutIfMatch(ctx, key, []byte("third"), before.ETag)
	if err == nil {
		return "", warning{"the store replaced an object that had changed: it ignores the condition", "tags that are pushed at the same moment may miss each other's history"}
	}
	if !errors.Is(err, drivers.ErrPrecondition) {
		return "", err
	}
	return "", p.expect(ctx, key, 0, -1, []byte("second"))
}

// upload sends a stream in two halves, as two replicas would.
func (p *probe) upload(ctx context.Context) (string, error) {
	began := time.Now()
	key := p.folder + "large"
	body := make([]byte, probeLarge)
	_, _ = rand.Read(body) // never fails; random, so that nothing on the way compresses it
	half := probeLarge/2 + 1
	w, err := p.store.Writer(ctx, key, probeLarge)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(body[:half]); err != nil {
		return "", p.giveUp(ctx, w, err)
	}
	state, err := w.Suspend(ctx)
	if err != nil {
		return "", p.giveUp(ctx, w, err)
	}
	if w, err = p.store.Resume(ctx, key, state); err != nil {
		return "", err
	}
	if _, err := w.Write(body[half:]); err != nil {
		return "", p.giveUp(ctx, w, err)
	}
	if err := w.Commit(ctx); err != nil {
		return "", p.giveUp(ctx, w, err)
	}
	rate := probeLarge / time.Since(began).Seconds() / 1e6
	if err := p.expect(ctx, key, 0, -1, body); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d MiB, continued half way, %.0f MB/s", probeLarge>>20, rate), nil
}

// giveUp cancels a stream that failed.
func (p *probe) giveUp(ctx context.Context, w drivers.Writer, err error) error {
	return errors.Join(err, w.Cancel(context.WithoutCancel(ctx)))
}

func (p *probe) cancel(ctx context.Context) (string, error) {
	key := p.folder + "cancelled"
	w, err := p.store.Writer(ctx, key, -1)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(make([]byte, probeLarge)); err != nil {
		return "", p.giveUp(ctx, w, err)
	}
	if err := w.Cancel(ctx); err != nil {
		return "", err
	}
	if _, err := p.store.Stat(ctx, key); !errors.Is(err, drivers.ErrNotFound) {
		return "", fmt.Errorf("an upload that was cancelled left something: %w", cmp.Or(err, drivers.ErrExists))
	}
	return "", nil
}

// clock compares the time of an object with the time before and after it was put.
func (p *probe) clock(ctx context.Context) (string, error) {
	key := p.folder + "clock"
	before := time.Now()
	if err := p.store.Put(ctx, key, p.body); err != nil {
		return "", err
	}
	after := time.Now()
	info, err := p.store.Stat(ctx, key)
	if err != nil {
		return "", err
	}
	// Whole seconds on some stores, cut off: what looks up to a second early is not.
	apart := time.Duration(0)
	if ahead := info.ModTime.Sub(after); ahead > 0 {
		apart = ahead
	} else if behind := before.Truncate(time.Second).Sub(info.ModTime); behind > 0 {
		apart = -behind
	}
	if apart.Abs() > clockWarning {
		side := "ahead of"
		if apart < 0 {
			side = "behind"
		}
		return "", warning{fmt.Sprintf("the store's clock is %s %s this machine's", rounded(apart.Abs()), side), "set both by NTP: signatures fail when they are 15 minutes apart"}
	}
	return "the store's clock agrees within " + rounded(max(apart.Abs(), time.Second)), nil
}

func (p *probe) latency(ctx context.Context) (string, error) {
	const requests = 10
	var times []time.Duration
	for range requests {
		began := time.Now()
		if _, err := p.store.Stat(ctx, p.folder+"small"); err != nil {
			return "", err
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	median := times[requests/2]
	detail := fmt.Sprintf("median %s, slowest of %d %s", rounded(median), requests, rounded(times[requests-1]))
	if median > slowLatency {
		return "", warning{detail, "a push waits for about ten requests in a row: run the registry nearer to the store"}
	}
	return detail, nil
}

// signed downloads an object the way a redirected client does.
func (p *probe) signed(ctx context.Context) (string, error) {
	if p.extras.Signer == nil {
		return "", errors.New("redirect.enabled is true, but the driver cannot sign URLs")
	}
	signed, err := p.extras.Signer.SignURL(ctx, p.folder+"small", time.Minute)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, signed, nil)
	if err != nil {
		return "", err
	}
	where := request.URL.Scheme + "://" + request.URL.Host
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		// The error has the URL in it, and the URL opens the store.
		return "", fmt.Errorf("%s cannot be reached from here: %w", where, errors.Unwrap(err))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK || !slices.Equal(body, p.body) {
		return "", fmt.Errorf("%s answers a signed URL with %s", where, response.Status)
	}
	return "a signed URL at " + where + " works from here", nil
}

// delete removes what the steps wrote, and looks whether it is gone.
func (p *probe) delete(ctx context.Context) (string, error) {
	keys, err := p.keys(ctx)
	if err != nil {
		return "", err
	}
	for _, name := range []string{"small", "race", "match", "large", "cancelled", "clock"} {
		if key := p.folder + name; !slices.Contains(keys, key) { // listings may lag
			keys = append(keys, key)
		}
	}
	if err := p.store.Delete(ctx, keys...); err != nil {
		return "", err
	}
	for _, key := range keys {
		if _, err := p.store.Stat(ctx, key); !errors.Is(err, drivers.ErrNotFound) {
			return "", fmt.Errorf("%s is still there: %w", key, cmp.Or(err, drivers.ErrExists))
		}
	}
	return "nothing is left behind", nil
}
