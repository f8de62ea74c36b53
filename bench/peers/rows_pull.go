package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/bench"
)

func pullFolder(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.on(b.onFolder)
	if err != nil {
		return out, err
	}
	files, err := b.folder()
	if err != nil {
		return out, err
	}
	web, err := b.startNginx(files)
	if err != nil {
		return out, err
	}
	for _, size := range []int64{1 << 20, 100 << 20} {
		name := fmt.Sprintf("%d MiB", size>>20)
		file := fmt.Sprint(size)
		body := make([]byte, size)
		_, _ = rand.Read(body) // never fails
		if err := os.WriteFile(filepath.Join(files, file), body, 0o644); err != nil {
			return out, err
		}
		web.Instead = web.URL.String() + "/" + file
		o := b.options(3, []string{"pull-blob"}, targets(ours, append(others, web)...)...)
		o.LayerSize, o.Clients = size, 2
		if !b.quick {
			o.Rounds = 5
		}
		r, err := b.bench(ctx, o)
		if err != nil {
			return out, err
		}
		s := sidesOf(r, "pull-blob")
		ratio := divided(processor(s.ours), processor(s.named(nginxName)))
		figure := func(r *bench.Result) string { return processorText(r) + " at " + megabytesText(r) }
		out.lines = append(out.lines, line{"pull blobs of " + name + " from a folder: processor for each", "at most 1.1× nginx with sendfile", figure(s.ours), s.text(figure), bench.Figure(ratio) + "× nginx", met(ratio <= 1.1)})
		out.groups = append(out.groups, s.group("Processor for a pulled blob of "+name+", from a folder (shorter is better)", processor, processorText))
	}
	return out, nil
}

// pullS3 has a store that gives each connection 50 MB/s.
func pullS3(ctx context.Context, b *bay) (out outcome, err error) {
	const limit = 50e6
	narrowed := func() (store, error) {
		to, err := b.onMinIO(ctx)
		if err != nil {
			return to, err
		}
		n, err := newNarrow(to.endpoint, limit)
		if err != nil {
			return to, err
		}
		b.closers = append(b.closers, n.close)
		to.endpoint = n.url
		return to, nil
	}
	ours, others, err := b.on(narrowed)
	if err != nil {
		return out, err
	}
	to, err := narrowed()
	if err != nil {
		return out, err
	}
	plain, err := b.plainGet(ctx, to, 100<<20)
	if err != nil {
		return out, err
	}
	o := b.options(6, []string{"pull-blob"}, targets(ours, append(others, plain)...)...)
	o.LayerSize, o.Clients = 100<<20, 1
	r, err := b.bench(ctx, o)
	if err != nil {
		return out, err
	}
	s := sidesOf(r, "pull-blob")
	single := s.named(plainName)
	ratio := divided(s.ours.MBps, single.MBps)
	later := s.ours.First - single.First
	out.lines = []line{
		{"pull a blob of 100 MiB from MinIO through the registry, each connection to the store at 50 MB/s, one client", "at least 2× a plain GET", megabytesText(s.ours), s.text(megabytesText), bench.Figure(ratio) + "× the plain GET", met(ratio >= 2)},
		{"… first byte", "as early as a plain GET", firstByteText(s.ours), s.text(firstByteText), times(float64(s.ours.First), float64(single.First)) + " the plain GET", met(later <= 5*time.Millisecond)},
	}
	out.groups = []bench.Group{s.group("MB/s of a blob of 100 MiB, 50 MB/s for each connection to the store", megabytes, megabytesText)}
	out.notes = append(out.notes, "The first byte counts as early as that of a plain GET if it comes within 5 ms of it: a look at the blob's link and record come before.")
	return out, nil
}

// plainGet is a target that gets an object from a store directly.
func (b *bay) plainGet(ctx context.Context, to store, size int64) (server, error) {
	c, err := b.clientOf(to)
	if err != nil {
		return server{}, err
	}
	const key = "plain/object"
	if _, err := c.PutObject(ctx, to.bucket, key, strings.NewReader(strings.Repeat("0123456789abcdef", int(size/16))), size, minio.PutObjectOptions{DisableMultipart: true}); err != nil {
		return server{}, err
	}
	signed, err := c.PresignedGetObject(ctx, to.bucket, key, time.Hour, url.Values{})
	if err != nil {
		return server{}, err
	}
	u, err := url.Parse(to.endpoint)
	return server{Target: bench.Target{Name: plainName, URL: u, Instead: signed.String()}}, err
}

func manifestsFolder(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.on(b.onFolder)
	if err != nil {
		return out, err
	}
	file := filepath.Join(b.dir, "manifest.json")
	if err := os.WriteFile(file, []byte(strings.Repeat("{manifest}", 55)), 0o644); err != nil { // as long as that of an image of one layer
		return out, err
	}
	bare, err := b.startBare(file)
	if err != nil {
		return out, err
	}
	bare.Instead = bare.URL.String() + "/manifest"
	o := b.options(3, []string{"manifest-get", "manifest-head"}, targets(ours, append(others, bare)...)...)
	if !b.quick {
		o.Rounds = 5
	}
	r, err := b.bench(ctx, o)
	if err != nil {
		return out, err
	}
	for _, work := range o.Work {
		s := sidesOf(r, work)
		verb := strings.ToUpper(strings.TrimPrefix(work, "manifest-"))
		ratio := divided(s.ours.Rate, s.named(bareName).Rate)
		figure := func(r *bench.Result) string { return rateText(r) + " (" + processorText(r) + ")" }
		out.lines = append(out.lines, line{verb + " of manifests by tag from a folder, 4 clients (processor for each)", "at least 0.6× a bare net/http handler", figure(s.ours), s.text(figure), bench.Figure(ratio) + "× the bare handler", met(ratio >= 0.6)})
		out.groups = append(out.groups, s.group(verb+" of manifests a second, from a folder", rate, rateText))
	}
	out.notes = append(out.notes, "The bare handler is net/http that reads a file of the length of a manifest at each request and writes it, and does nothing else. Client and server share the processors, so the processor time for a request tells more than the rate.")
	return out, nil
}

func manifestsMinIO(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.on(func() (store, error) { return b.onMinIO(ctx) })
	if err != nil {
		return out, err
	}
	o := b.options(3, []string{"manifest-get", "manifest-head"}, targets(ours, others...)...)
	r, err := b.bench(ctx, o)
	if err != nil {
		return out, err
	}
	for _, work := range o.Work {
		s := sidesOf(r, work)
		verb := strings.ToUpper(strings.TrimPrefix(work, "manifest-"))
		ratio := divided(s.ours.Rate, s.most(rate))
		out.lines = append(out.lines, line{verb + " of manifests by tag from MinIO, 4 clients", "at least 2× the better peer", rateText(s.ours), s.text(rateText), bench.Figure(ratio) + "×", met(ratio >= 2)})
		out.groups = append(out.groups, s.group(verb+" of manifests a second, from MinIO", rate, rateText))
	}
	return out, nil
}

func manifestsFar(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.pair(ctx, away)
	if err != nil {
		return out, err
	}
	o := b.options(3, []string{"manifest-get", "manifest-head"}, targets(ours, others...)...)
	o.Images = o.Clients // each asks for another tag
	r, err := b.bench(ctx, o)
	if err != nil {
		return out, err
	}
	for _, work := range o.Work {
		s := sidesOf(r, work)
		verb := strings.ToUpper(strings.TrimPrefix(work, "manifest-"))
		figure := func(r *bench.Result) string { return medianText(r) + ", " + callsText(r) + " requests" }
		out.lines = append(out.lines, line{verb + " of manifests by tag, 20 ms to the store, 4 clients, 4 tags: p50", "one round trip", figure(s.ours), s.text(figure), times(medianOf(s.ours), s.least(medianOf)), met(s.ours.P50 < away*3/2)})
		out.groups = append(out.groups, s.group("Median time of a "+verb+" of a manifest, 20 ms to the store (shorter is better)", medianOf, medianText))
	}
	return out, nil
}

// crowd counts what many clients cost the store beside what one costs.
func crowd(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.pair(ctx, 0)
	if err != nil {
		return out, err
	}
	all := targets(ours, others...)
	measure := func(clients int) (sides, error) {
		o := b.options(60, []string{"crowd"}, all...)
		o.Crowd = clients
		r, err := bench.Run(ctx, o, bench.Watch{}) // what fails is a figure here
		return sidesOf(r, "crowd"), err
	}
	one, err := measure(1)
	if err != nil {
		return out, err
	}
	many, err := measure(1000)
	if err != nil {
		return out, err
	}
	perRound := func(r *bench.Result) float64 {
		var calls []float64
		for _, s := range r.Rounds {
			calls = append(calls, float64(s.Calls))
		}
		return bench.Median(calls)
	}
	text := func(one, many *bench.Result) string {
		return fmt.Sprintf("%s requests for one, %s for 1,000", bench.Figure(perRound(one)), bench.Figure(perRound(many)))
	}
	spread := func(r *bench.Result) string {
		return fmt.Sprintf("%d failed, p50 %s, p99 %s", r.Failed, bench.Span(r.P50), bench.Span(r.P99))
	}
	peers := ""
	for i, r := range many.others {
		if i > 0 {
			peers += ", "
		}
		peers += r.Target + " " + text(one.others[i], r)
	}
	ratio := divided(float64(many.ours.P99), float64(many.ours.P50))
	out.lines = []line{
		{"1,000 clients ask for one new tag and its blobs at once, MinIO", "requests to the store as for one, not for each", text(one.ours, many.ours), peers, times(perRound(many.ours), perRound(one.ours)) + " one", met(perRound(many.ours) <= 5*perRound(one.ours))},
		{"…", "none fails, p99 within 3× of p50", spread(many.ours), many.text(spread), bench.Figure(ratio) + "×", met(many.ours.Failed == 0 && ratio <= 3)},
	}
	out.notes = append(out.notes, "Of 1,000 clients at once nobody is given an answer that was read before he asked, so those who come while a read is under way share the next one: some reads more than for one client, however many there are.")
	out.groups = []bench.Group{many.group("Median time of a pull among 1,000 at once (shorter is better)", medianOf, medianText)}
	return out, nil
}
