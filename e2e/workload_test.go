//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// inRepos and ofTags are how many repositories of each kind there are, and tags of each client in each of them.
	inRepos, ofTags = 3, 3
	// actTime is how long a client tries one thing.
	actTime = 15 * time.Second
)

// repositories are those that all clients push to. Below kept/ a manifest stays until a client deletes it; below moving/ collections
// remove it when no tag leads to it any more.
func repositories() (all []string) {
	for i := range inRepos {
		all = append(all, fmt.Sprintf("kept/%d", i), fmt.Sprintf("moving/%d", i))
	}
	return all
}

// work does things until stop is closed: pushes, tag moves, deletes, pulls, and uploads that are never ended.
func (p *pusher) work(ctx context.Context, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		ctx, cancel := context.WithTimeout(ctx, actTime)
		p.once(ctx)
		cancel()
	}
}

func (p *pusher) once(ctx context.Context) {
	repo := anyOf(p.rand, repositories())
	tag := fmt.Sprintf("c%02d-%d", p.id, p.rand.IntN(ofTags)) // of this client alone
	n := p.of(repo, tag)
	switch dice := p.rand.IntN(100); {
	case dice < 45:
		before, certain := n.certain()
		if p.push(ctx, repo, tag, p.newImage()) && certain && before != "" {
			p.moves.Add(1)
		}
	case dice < 60: // a tag that all clients move
		p.push(ctx, fmt.Sprintf("moving/%d", p.rand.IntN(inRepos)), fmt.Sprintf("shared-%d", p.rand.IntN(4)), anyOf(p.rand, p.images))
	case dice < 66: // an image that all clients push
		p.push(ctx, fmt.Sprintf("kept/%d", p.rand.IntN(inRepos)), "", anyOf(p.rand, p.images))
	case dice < 76:
		if before, certain := n.certain(); !certain || before != "" {
			p.delete(ctx, n)
		}
	case dice < 82:
		if digest, certain := n.certain(); certain && digest != "" {
			p.delete(ctx, p.of(repo, digest), n)
		}
	case dice < 86:
		p.abandon(ctx, repo)
	default:
		p.check(ctx, n, nil)
	}
}

// newImage has a config and a layer of its own, which is large now and then, and some layers that others have.
func (p *pusher) newImage() image {
	p.next++
	seed := uint64(p.id)<<32 | uint64(p.next)<<8 | 0xff
	size := 1000 + p.rand.Int64N(20_000)
	if p.rand.IntN(20) == 0 {
		size = 1e6 + p.rand.Int64N(int64(len(p.blobs[len(p.blobs)-1].body))/2)
	}
	list := []blob{makeConfig(fmt.Sprintf("%d of %d", p.next, p.id)), makeBlob("application/octet-stream", random(seed, size))}
	for range 1 + p.rand.IntN(3) {
		i := p.rand.IntN(len(p.blobs))
		if i > 10 && p.rand.IntN(6) > 0 {
			i = p.rand.IntN(10) // large ones are rarer
		}
		if b := p.blobs[i]; !slices.ContainsFunc(list, func(o blob) bool { return o.Digest == b.Digest }) {
			list = append(list, b)
		}
	}
	return makeImage(list...)
}

// abandon begins an upload and leaves it, or cancels it.
func (p *pusher) abandon(ctx context.Context, repo string) {
	b := makeBlob("application/octet-stream", random(p.rand.Uint64(), 1000+p.rand.Int64N(6e6)))
	r, err := p.send(ctx, p.anyReplica(), http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil, "")
	if err != nil || r.status != http.StatusAccepted {
		return
	}
	r, err = p.send(ctx, p.anyReplica(), http.MethodPatch, r.header.Get("Location"), octets(nil), b.body)
	if err == nil && r.status == http.StatusAccepted && p.rand.IntN(3) == 0 {
		_, _ = p.send(ctx, p.anyReplica(), http.MethodDelete, r.header.Get("Location"), nil, "") // answered or not
	}
	p.givenUp.Add(1)
}

// newFleet makes the clients' common part. layers are the sizes of the layers that images share, the small ones first; late is how long after a request broke off it may still have its effect.
func newFleet(t *testing.T, seed uint64, patience, late time.Duration, layers []float64, targets ...string) *fleet {
	f := &fleet{ledger: &ledger{late: late, names: map[string]*name{}}, counts: &counts{}, targets: targets, patience: patience}
	var mu sync.Mutex
	told := 0
	f.violate = func(format string, args ...any) {
		const most = 20
		mu.Lock()
		defer mu.Unlock()
		if told++; told <= most {
			t.Errorf(format, args...)
		} else {
			t.Fail()
		}
	}
	f.shared(seed, layers)
	return f
}

// client makes one of the clients.
func (f *fleet) client(seed uint64, id int) *pusher {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &pusher{fleet: f, id: id, rand: rand.New(rand.NewPCG(seed, uint64(id))), http: &http.Client{Transport: transport}}
}

// work has clients work until stop is closed. The function that it returns waits for their end.
func (f *fleet) start(ctx context.Context, seed uint64, clients int, stop <-chan struct{}) (wait func()) {
	var all sync.WaitGroup
	for id := range clients {
		all.Go(func() {
			p := f.client(seed, id)
			defer p.http.CloseIdleConnections()
			p.work(ctx, stop)
		})
	}
	return all.Wait
}

// checkAll reads everything that any client was promised, by one replica, and the lists of tags. It returns how many images are whole.
func (f *fleet) checkAll(ctx context.Context, replica int) (images int) {
	byRepo := map[string][]*name{}
	for _, n := range f.all() {
		if strings.Contains(n.reference, ":") && strings.HasPrefix(n.repo, "moving/") {
			continue // such a manifest goes when no tag leads to it
		}
		byRepo[n.repo] = append(byRepo[n.repo], n)
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	for repo, names := range byRepo {
		all.Go(func() {
			one := *f // asks this replica alone
			one.targets = f.targets[replica : replica+1]
			p := one.client(0, -1)
			defer p.http.CloseIdleConnections()
			seen, there := map[string]bool{}, []string{}
			whole := 0
			for _, n := range names {
				digest := p.check(ctx, n, seen)
				if digest == "" {
					continue
				}
				whole++
				if !strings.Contains(n.reference, ":") {
					there = append(there, n.reference)
				}
			}
			listed, err := remote{one.targets[0]}.tags(ctx, repo)
			if err != nil && len(there) == 0 && strings.Contains(err.Error(), "NAME_UNKNOWN") {
				err = nil // nothing was pushed there yet
			}
			if slices.Sort(there); err != nil || !slices.Equal(listed, there) {
				f.violate("replica %d lists the tags %q of %s (%v), and serves %q", replica, listed, repo, err, there)
			}
			mu.Lock()
			defer mu.Unlock()
			images += whole
		})
	}
	all.Wait()
	return images
}
