package registry

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// TestRebuildBesideClients rebuilds a damaged store over and over while clients push, mount, move and delete on three replicas. What they
// were told holds in the end, no repository has what was never put into it, no data is named twice or by a digest that it does not have, and what was pushed before
// the damage is whole.
func TestRebuildBesideClients(t *testing.T) {
	const clients, steps, repos, old = 8, 60, 3, 12
	clk := &clock{}
	d := clk.store(t)
	r := clk.open(t, d)
	for repo := range repos {
		for i := range old {
			name := fmt.Sprintf("r%d", repo)
			// The clients push the same layers, by their digests or by mounting them.
			blobs := [][]byte{fmt.Appendf(nil, "config of %s, %d", name, i), fmt.Appendf(nil, "layer %d", i%6)}
			for _, b := range blobs {
				putBlob(t, r, name, b)
			}
			pushTag(t, r, name, fmt.Sprint("old", i), sizedImage(t, blobs...))
		}
	}
	secret := putBlob(t, r, "secret", randomBytes(1, 100))
	clk.later(5 * day)
	var lost []string
	for _, key := range keys(t, d, "") {
		for _, part := range []string{"/blobs/", "/_blobs/", "/catalog/"} {
			if strings.Contains("/"+key, part) {
				lost = append(lost, key)
			}
		}
	}
	lose(t, d, lost...)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	replicas := []*Registry{clk.open(t, d), clk.open(t, d), clk.open(t, d)}
	all := make([]*client, clients)
	var wg sync.WaitGroup
	for i := range all {
		c := &client{t: t, replicas: replicas, random: rand.New(rand.NewPCG(seed, uint64(i))), id: i, tags: map[string]state{}}
		all[i] = c
		wg.Go(func() {
			for range steps {
				c.step()
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		wg.Wait()
	}()
	rebuilds := 0
	for going := true; going; rebuilds++ {
		select {
		case <-ended:
			going = false // and once more
		default:
		}
		if _, err := clk.open(t, d).Rebuild(t.Context(), RebuildOptions{}); err != nil {
			t.Error(err)
			break
		}
	}
	<-ended
	r = clk.open(t, d)
	present := 0
	for _, c := range all {
		present += c.check(r)
	}
	t.Logf("%d rebuilds, %d tags pulled back", rebuilds, present)
	if present == 0 {
		t.Error("nothing was there to be checked")
	}
	for repo := range repos {
		name := fmt.Sprintf("r%d", repo)
		for i := range old {
			m, err := r.ManifestByTag(t.Context(), name, fmt.Sprint("old", i))
			must(t, err)
			for _, one := range readContent(m.Body).named() {
				if _, err := r.Blob(t.Context(), name, one.Digest); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		_, err := r.Blob(t.Context(), name, secret)
		wantCode(t, err, BlobUnknown)
	}
	checkRecords(t, d)
}

// checkRecords fails if data is named twice, or is not what its record says.
func checkRecords(t *testing.T, d drivers.Driver) {
	t.Helper()
	var named []string
	for _, key := range keys(t, d, "blobs/") {
		o, err := readObject(t.Context(), d, key)
		must(t, err)
		var record blobRecord
		must(t, json.Unmarshal(o.body, &record))
		if slices.Contains(named, record.Data) {
			t.Errorf("%s is named twice", record.Data)
		}
		named = append(named, record.Data)
		want, _ := recordDigest(key)
		o, err = readObject(t.Context(), d, record.Data)
		must(t, err)
		if got := digest.FromBytes(o.body); got != want {
			t.Errorf("%s names %s", want, got)
		}
	}
}
