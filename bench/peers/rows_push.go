package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/longshore-registry/longshore/bench"
)

// away is how far the store is in the rows that say so.
const away = 20 * time.Millisecond

// requests counts what pushes and pulls cost the store. A test in registry/budget holds the same for every driver.
func requests(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.pair(ctx, 0)
	if err != nil {
		return out, err
	}
	all := targets(ours, others...)
	count := func(about string, bound float64, work string, change func(*bench.Options)) error {
		o := b.options(60, []string{work}, all...)
		o.Clients, o.Rounds, o.Count, o.Time = 1, 1, 20, time.Minute
		change(&o)
		r, err := b.bench(ctx, o)
		if err != nil {
			return err
		}
		s := sidesOf(r, work)
		// A renewal now and then, or a collection in the background, is no part of the work.
		out.lines = append(out.lines, line{
			about, fmt.Sprintf("at most %v", bound), callsText(s.ours), s.text(callsText), times(s.ours.Calls, s.least(func(r *bench.Result) float64 { return r.Calls })),
			met(math.Floor(s.ours.Calls) <= bound),
		})
		out.groups = append(out.groups, s.group(about, func(r *bench.Result) float64 { return r.Calls }, callsText))
		return nil
	}
	steps := []error{
		count("requests to the store: push a one-layer image as docker does", 12, "push", func(*bench.Options) {}),
		count("… with POST and PUT for each blob", 12, "push", func(o *bench.Options) { o.Direct = true }),
		count("… with a layer of 100 MiB, as docker does", 12+13+3, "push", func(o *bench.Options) { o.LayerSize, o.Count = 100<<20, 4 }),
		count("requests to the store: pull an image of one layer by its tag again", 3+2, "pull", func(*bench.Options) {}),
	}
	for _, err := range steps {
		if err != nil {
			return out, err
		}
	}
	out.notes = append(out.notes, "MinIO is used through drivers/minio. Requests to the store are counted by a proxy in front of it; 12 and 5 are the budgets of docs/design.md, of which `longshore budgets` and a test for every driver hold all. "+
		"A layer of 100 MiB may take 13 parts of 8 MiB and three more requests. A pull may take three requests and those for the bytes of its two blobs.")
	return out, nil
}

func pushFar(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.pair(ctx, away)
	if err != nil {
		return out, err
	}
	r, err := b.bench(ctx, b.options(6, []string{"push"}, targets(ours, others...)...))
	if err != nil {
		return out, err
	}
	s := sidesOf(r, "push")
	ratio := divided(s.ours.Rate, s.most(rate))
	figure := func(r *bench.Result) string { return rateText(r) + ", p50 " + medianText(r) }
	out.lines = []line{{"push 1 MB images, 20 ms to the store, 4 clients", "at least 5×", figure(s.ours), s.text(figure), bench.Figure(ratio) + "×", met(ratio >= 5)}}
	out.groups = []bench.Group{s.group("Images of 1 MB a second, 20 ms to the store", rate, rateText)}
	return out, nil
}

// pushS3 compares a push with what the store takes by itself, and with SHA-256.
func pushS3(ctx context.Context, b *bay) (out outcome, err error) {
	for _, far := range []time.Duration{0, away} {
		ours, others, err := b.pair(ctx, far)
		if err != nil {
			return out, err
		}
		o := b.options(10, []string{"push-blob"}, targets(ours, others...)...)
		o.LayerSize, o.Clients, o.Count = 100<<20, 1, 3
		r, err := b.bench(ctx, o)
		if err != nil {
			return out, err
		}
		s := sidesOf(r, "push-blob")
		about, target := "push blobs of 100 MiB to MinIO, one client", "limited by hashing or the store"
		ratio := divided(s.ours.MBps, s.most(megabytes))
		one := line{about, target, megabytesText(s.ours), s.text(megabytesText), bench.Figure(ratio) + "×", ""}
		if far > 0 {
			one.work, one.target = about+", 20 ms to the store", "parts go up in parallel while the body arrives"
			one.met = met(ratio > 1)
			out.groups = append(out.groups, s.group("MB/s of blobs of 100 MiB, 20 ms to the store", megabytes, megabytesText))
		} else {
			alone, err := b.putAlone(ctx, o.Rounds)
			if err != nil {
				return out, err
			}
			one.met = met(s.ours.MBps >= 0.8*alone)
			one.peers += fmt.Sprintf("; the store alone %s MB/s", bench.Figure(alone))
			out.groups = append(out.groups, s.group("MB/s of blobs of 100 MiB", megabytes, megabytesText))
			out.notes = append(out.notes, fmt.Sprintf("A push to MinIO is taken as limited by the store if it has at least 0.8 of the rate at which minio-go sends the same objects "+
				"in four parallel parts through the same proxy, with nobody in between that hashes: %s MB/s here, where client, registry, proxy and MinIO share the processors.", bench.Figure(alone)))
		}
		out.lines = append(out.lines, one)
	}
	return out, nil
}

// putAlone is how many MB/s the store takes from minio-go, through a proxy.
func (b *bay) putAlone(ctx context.Context, rounds int) (float64, error) {
	to, err := b.onMinIOFar(ctx, 0)
	if err != nil {
		return 0, err
	}
	c, err := b.clientOf(to)
	if err != nil {
		return 0, err
	}
	const size = 100 << 20
	var rates []float64
	for round := range rounds + 1 { // the first one warms up
		began := time.Now()
		const count = 4
		for i := range count {
			_, err := c.PutObject(ctx, to.bucket, fmt.Sprintf("%d-%d", round, i), io.LimitReader(same{}, size), size,
				minio.PutObjectOptions{PartSize: 8 << 20, NumThreads: 4, ConcurrentStreamParts: true})
			if err != nil {
				return 0, err
			}
		}
		rates = append(rates, count*size/1e6/time.Since(began).Seconds())
	}
	return bench.Median(rates[1:]), nil
}

// commits times the end of uploads of different sizes.
func commits(ctx context.Context, b *bay) (out outcome, err error) {
	var all []store
	ours, others, err := b.on(func() (store, error) {
		to, err := b.onMinIOFar(ctx, away)
		all = append(all, to)
		return to, err
	})
	if err != nil {
		return out, err
	}
	p := all[0].proxy // ours
	sizes, names := []int64{1 << 20, 1 << 30, 10 << 30}, "1 MiB, 1 GiB, 10 GiB"
	if b.quick {
		sizes, names = []int64{1 << 20, 64 << 20, 128 << 20}, "1 MiB, 64 MiB, 128 MiB"
	}
	measure := func(s server, size int64) (time.Duration, error) {
		var sent atomic.Int64
		took, err := upload(ctx, s, "commit/"+fmt.Sprint(size), size, &sent)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", s.Name, err)
		}
		return took, nil
	}
	var took, own []time.Duration // the latter without the store's own time
	text := ""
	for i, size := range sizes {
		p.joined.Store(0)
		one, err := measure(ours, size)
		if err != nil {
			return out, err
		}
		joined := time.Duration(p.joined.Load())
		took, own = append(took, one), append(own, one-joined)
		if i > 0 {
			text += ", "
		}
		text += bench.Span(one)
		if joined > 0 {
			text += " (the store " + bench.Span(joined) + ")"
		}
	}
	peers := ""
	for i, s := range others {
		small, err := measure(s, sizes[0])
		if err != nil {
			return out, err
		}
		large, err := measure(s, sizes[1])
		if err != nil {
			return out, err
		}
		if i > 0 {
			peers += "; "
		}
		peers += fmt.Sprintf("%s %s, %s", s.Name, bench.Span(small), bench.Span(large))
	}
	out.lines = []line{{
		"closing PUT of an upload, 20 ms to the store: " + names, "the same for 1 MiB and 10 GiB", text, peers,
		times(float64(took[2]), float64(took[0])), met(own[2]-own[0] <= 3*away),
	}}
	out.notes = append(out.notes, "The closing PUT of an upload of many parts has the store join them, for which MinIO, on its own, takes the time in brackets: it looks at every part. What is left counts as the same if it takes at most three round trips of 20 ms more for the largest upload than for the smallest.")
	return out, nil
}

func pushFolder(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.on(b.onFolder)
	if err != nil {
		return out, err
	}
	o := b.options(20, []string{"push-blob"}, targets(ours, others...)...)
	o.LayerSize, o.Clients, o.Count, o.Rounds = 100<<20, 1, 6, 5
	if b.quick {
		o.Rounds = 1
	}
	r, err := b.bench(ctx, o)
	if err != nil {
		return out, err
	}
	s := sidesOf(r, "push-blob")
	best := s.least(processor)
	peers := s.text(processorText)
	if s.named(zotName) == nil {
		// In the run of docs/design.md's time zot took 176 ms where distribution took 188.
		best *= 176.0 / 188
		peers += "; zot about " + bench.Span(time.Duration(best)) + " by an earlier run"
	}
	ratio := divided(processor(s.ours), best)
	out.lines = []line{{"push blobs of 100 MiB to a folder: processor for each", "at most 0.85× the better peer", processorText(s.ours), peers, bench.Figure(ratio) + "×", met(ratio <= 0.85)}}
	out.groups = []bench.Group{s.group("Processor for a pushed blob of 100 MiB, on a folder (shorter is better)", processor, processorText)}
	return out, nil
}

func pushSmall(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.on(b.onFolder)
	if err != nil {
		return out, err
	}
	o := b.options(5, []string{"push"}, targets(ours, others...)...)
	if !b.quick {
		o.Rounds = 5
	}
	r, err := b.bench(ctx, o)
	if err != nil {
		return out, err
	}
	s := sidesOf(r, "push")
	share, faster := divided(processor(s.ours), s.least(processor)), divided(s.ours.Rate, s.most(rate))
	out.lines = []line{
		{"push 1 MB images to a folder, durable: processor for each", "at most 0.5× the better peer", processorText(s.ours), s.text(processorText), bench.Figure(share) + "×", met(share <= 0.5)},
		{"… images a second, 4 clients", "at least 2×", rateText(s.ours), s.text(rateText), bench.Figure(faster) + "×", met(faster >= 2)},
	}
	out.groups = []bench.Group{
		s.group("Processor for a pushed image of 1 MB, on a folder (shorter is better)", processor, processorText),
		s.group("Images of 1 MB a second, on a folder", rate, rateText),
	}
	return out, nil
}
