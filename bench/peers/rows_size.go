package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	miniogo "github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/bench"
	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/minio"
)

// open opens a store with Longshore's own driver, to fill it.
func (b *bay) open(ctx context.Context, to store) (drivers.Driver, error) {
	if to.folder != "" {
		return fs.Open(ctx, fs.Config{Root: to.folder, Durability: fs.Fast})
	}
	c := minio.Defaults()
	c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey = to.endpoint, to.bucket, to.user, drivers.Secret(to.password)
	return minio.Open(ctx, c)
}

// fill puts n tags into one repository and n repositories into the catalogue, as docs/storage-format.md has them. No manifest is there: a
// page does not ask for any.
func (b *bay) fill(ctx context.Context, to store, n int) error {
	d, err := b.open(ctx, to)
	if err != nil {
		return err
	}
	tag, err := json.Marshal(map[string]any{
		"digest": "sha256:" + hex.EncodeToString(sha256.New().Sum(nil)), "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 550,
		"pushed": time.Now().UTC(), "by": "bench", "manifest": "00000000000000000000000000000000",
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for i := range n {
		g.Go(func() error {
			return errors.Join(
				d.Put(ctx, fmt.Sprintf("repos/big/_tags/tag-%06d", i), tag),
				d.Put(ctx, fmt.Sprintf("catalog/team-%06d-", i), nil))
		})
	}
	return g.Wait()
}

// pages asks for a page out of the middle of few and of many.
func pages(ctx context.Context, b *bay) (out outcome, err error) {
	few, many := 1000, 100_000
	if b.quick {
		many = 3000
	}
	var bucket store // the large one
	var sizes []store
	for _, kind := range []string{"folder", "MinIO"} {
		var all []server
		sizes = sizes[:0]
		for _, n := range []int{few, many} {
			var to store
			if kind == "folder" {
				to, err = b.onFolder()
			} else {
				to, err = b.onMinIO(ctx)
				bucket = to
			}
			if err != nil {
				return out, err
			}
			if err := b.fill(ctx, to, n); err != nil {
				return out, fmt.Errorf("fill the %s: %w", kind, err)
			}
			one, err := b.longshore(to)
			if err != nil {
				return out, err
			}
			one.Name = fmt.Sprint(n)
			all, sizes = append(all, one), append(sizes, to)
		}
		for _, what := range []string{"tags", "repositories"} {
			for i, n := range []int{few, many} {
				path := fmt.Sprintf("/v2/big/tags/list?n=100&last=tag-%06d", n/2)
				if what == "repositories" {
					path = fmt.Sprintf("/v2/_catalog?n=100&last=team-%06d", n/2)
				}
				all[i].Instead = all[i].URL.String() + path
			}
			o := b.options(3, []string{"manifest-get"}, targets(all[0], all[1])...) // of the page, which stands in for a manifest
			o.Clients = 1
			r, err := b.bench(ctx, o)
			if err != nil {
				return out, err
			}
			small, large := r.Result("manifest-get", fmt.Sprint(few)), r.Result("manifest-get", fmt.Sprint(many))
			ratio := divided(float64(large.P50), float64(small.P50))
			alone := ""
			if kind == "MinIO" {
				var took [2]time.Duration
				for i, n := range []int{few, many} {
					if took[i], err = b.listing(ctx, sizes[i], what, n/2); err != nil {
						return out, err
					}
				}
				alone = fmt.Sprintf("MinIO's own listing %s; out of 1,000: %s", bench.Span(took[1]), bench.Span(took[0]))
			}
			out.lines = append(out.lines, line{
				fmt.Sprintf("a page of 100 %s out of %s, %s: p50", what, bench.Figure(float64(many)), kind), "within 1.5× of a page out of 1,000",
				fmt.Sprintf("%s; out of 1,000: %s", bench.Span(large.P50), bench.Span(small.P50)), alone, bench.Figure(ratio) + "×", met(ratio <= 1.5),
			})
		}
	}
	took, err := b.ready(bucket)
	if err != nil {
		return out, err
	}
	out.lines = append(out.lines, line{fmt.Sprintf("start on a bucket of MinIO with %s objects", bench.Figure(float64(2*many))), "ready in under 1 s", bench.Span(took), "", "", met(took < time.Second)})
	out.notes = append(out.notes, "The stores with many tags and repositories were filled through the drivers with the records of docs/storage-format.md, without manifests. A start on a bucket was measured on the one of them, which has 200,000 objects and not a million: MinIO on this machine takes too long to fill. A start costs two requests whatever is there.",
		"A page costs one request to the store. MinIO on one drive reads the whole folder of a prefix to answer one page of it, as a listing that is asked of it directly shows; S3 itself, and stores with an ordered index, do not.")
	return out, nil
}

// listing is how long the store itself takes for a page, without a registry: the median of some requests.
func (b *bay) listing(ctx context.Context, to store, what string, after int) (time.Duration, error) {
	c, err := b.clientOf(to)
	if err != nil {
		return 0, err
	}
	prefix, from := "repos/big/_tags/", fmt.Sprintf("repos/big/_tags/tag-%06d", after)
	if what == "repositories" {
		prefix, from = "catalog/", fmt.Sprintf("catalog/team-%06d", after)
	}
	var all []float64
	for range 15 {
		began := time.Now()
		page, err := (miniogo.Core{Client: c}).ListObjectsV2(to.bucket, prefix, from, "", "", 101)
		if err == nil && len(page.Contents) != 101 {
			err = fmt.Errorf("a page of %d keys", len(page.Contents))
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return 0, fmt.Errorf("list %s: %w", prefix, err)
		}
		all = append(all, float64(time.Since(began)))
	}
	return time.Duration(bench.Median(all)), nil
}

// ready is how long Longshore takes from its start until it says that it is ready, the median of five.
func (b *bay) ready(to store) (time.Duration, error) {
	var all []float64
	for range 5 {
		began := time.Now()
		s, err := b.longshore(to) // asks every 20 ms
		if err != nil {
			return 0, err
		}
		all = append(all, float64(time.Since(began)))
		s.process.Kill()
	}
	return time.Duration(bench.Median(all)), nil
}

// start makes a million small files, as the records of blobs are.
func start(ctx context.Context, b *bay) (out outcome, err error) {
	to, err := b.onFolder()
	if err != nil {
		return out, err
	}
	n := 1_000_000
	if b.quick {
		n = 10_000
	}
	g, ctx := errgroup.WithContext(ctx)
	for folder := range 256 {
		g.Go(func() error {
			dir := filepath.Join(to.folder, "blobs", "sha256", fmt.Sprintf("%02x", folder))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for i := folder; i < n && ctx.Err() == nil; i += 256 {
				name := fmt.Sprintf("%02x%062x", folder, i)
				if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"size":1000000,"data":"data/00/2026-01-01/00000000000000000000000000000000"}`), 0o644); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return out, err
	}
	took, err := b.ready(to)
	if err != nil {
		return out, err
	}
	out.lines = []line{{fmt.Sprintf("start on a folder of %s objects", bench.Figure(float64(n))), "ready in under 1 s", bench.Span(took), "", "", met(took < time.Second)}}
	// Go's own removal takes longer.
	return out, exec.Command("rm", "-rf", to.folder).Run()
}

// memoryUse has 64 uploads of 1 GiB at once, to MinIO, each registry with its defaults.
func memoryUse(ctx context.Context, b *bay) (out outcome, err error) {
	ours, others, err := b.on(func() (store, error) { return b.onMinIO(ctx) })
	if err != nil {
		return out, err
	}
	idle, program, err := b.idle(ctx, ours)
	if err != nil {
		return out, err
	}
	limit, count := 40*time.Second, 64
	if b.quick {
		limit = 3 * time.Second
	}
	if b.whole {
		limit = time.Hour
	}
	peak, sent, err := many(ctx, ours, count, limit)
	if err != nil {
		return out, err
	}
	loaded, resting := "", ""
	for i, s := range others {
		if i > 0 {
			loaded, resting = loaded+", ", resting+", "
		}
		rest, files, err := b.idle(ctx, s)
		if err != nil {
			return out, err
		}
		resting += fmt.Sprintf("%s %s (%s)", s.Name, mega(rest), mega(files))
		theirs, bytes, err := many(ctx, s, count, limit)
		if err != nil {
			return out, err
		}
		loaded += fmt.Sprintf("%s %s (%s taken)", s.Name, mega(theirs), giga(bytes))
	}
	const bound = 512 << 20
	out.lines = []line{
		{"memory: 64 uploads of 1 GiB at once, to MinIO", "under 512 MiB (537 MB)", fmt.Sprintf("%s (%s taken)", mega(peak), giga(sent)), loaded, "", met(peak < bound)},
		{"memory: idle (of it pages of the program's file)", "under 40 MB", fmt.Sprintf("%s (%s)", mega(idle), mega(program)), resting, "", met(idle < 40e6)},
	}
	if !b.whole {
		out.notes = append(out.notes, fmt.Sprintf("The 64 uploads of 1 GiB were broken off after %v, since 64 GiB do not fit on every disk (`-whole` lets them end); how much each registry had taken by then stands beside its memory, which is the resident set at its largest, looked at every 50 ms.", limit))
	}
	return out, nil
}

func mega(bytes int64) string { return bench.Figure(float64(bytes)/1e6) + " MB" }
func giga(bytes int64) string { return bench.Figure(float64(bytes)/(1<<30)) + " GiB" }

// idle is the memory of a registry that has answered one request and then rested, and how much of it is pages of files.
func (b *bay) idle(ctx context.Context, s server) (all, files int64, err error) {
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(5 * time.Second):
	}
	return bench.Resident(s.PIDs...)
}

// many does uploads of 1 GiB at once until they or the time end, and returns the peak of the memory and how many bytes were taken.
func many(ctx context.Context, s server, count int, limit time.Duration) (peak, bytes int64, err error) {
	w, err := bench.WatchProcesses(s.PIDs...)
	if err != nil {
		return 0, 0, err
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var sent atomic.Int64
	var all sync.WaitGroup
	failures := make(chan error, count)
	for i := range count {
		all.Go(func() {
			if _, err := upload(limited, s, fmt.Sprintf("memory/%d", i), 1<<30, &sent); err != nil && limited.Err() == nil {
				failures <- err
			}
		})
	}
	all.Wait()
	_, peak, err = w.End()
	select {
	case failed := <-failures:
		return 0, 0, fmt.Errorf("%s: %w", s.Name, failed)
	default:
	}
	return peak, sent.Load(), err
}
