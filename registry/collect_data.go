package registry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/longshore-registry/longshore/drivers"
)

// collected is what one collection leaves for the next: which records have been read, what they name, and up to which day there is
// no data that no record names.
type collected struct {
	Settled string   `json:"settled"` // a day, as in data/D2/DAY; "" before the first
	Read    []string `json:"read"`    // runs of marks of records
	Named   []string `json:"named"`   // runs of marks of data that records name, of days that are not settled
	Count   int64    `json:"count"`   // marks in Read
	Repos   []string `json:"repos"`   // runs of what is known of repositories; see settledRepos

	etag string // "" if the object is not there
}

func (s *collected) runs() []string { return slices.Concat(s.Read, s.Named, s.Repos) }

// collectData removes bytes that no record names: of uploads that were given up, of pushes that lost a race, of processes that
// died. No upload can name them any more by their age. Each record is read once in its life; days that are
// settled are not looked at again, since what a collection takes away later is in its log.
func (c *collector) collectData(ctx context.Context) error {
	state, err := c.loadCollected(ctx)
	if err != nil {
		return err
	}
	d := &dataCollector{
		collector: c, state: state,
		read:  &marks{driver: c.driver, runs: state.Read, keep: c.o.DryRun},
		named: &marks{driver: c.driver, runs: state.Named, keep: c.o.DryRun},
	}
	if err := d.readRecords(ctx); err != nil {
		return err
	}
	if d.moved, err = c.quarantine(ctx); err != nil {
		return err
	}
	if len(d.moved.unknown) > 0 {
		c.remark("data that no blob has stays: %d records in quarantine can't be read, so it may be theirs; push these blobs again, or use longshore scrub --drop-quarantined", len(d.moved.unknown))
		return nil
	}
	failed := c.failures()
	if err := d.sweep(ctx); err != nil || c.o.DryRun {
		return err
	}
	if err := d.compact(ctx); err != nil || c.failures() > failed {
		return err
	}
	return c.dropUnread(ctx)
}

type dataCollector struct {
	*collector
	state       collected
	read, named *marks
	moved       quarantine
	undecided   string // the first day with data that may be removed later; "" for none
}

func (c *collector) loadCollected(ctx context.Context) (collected, error) {
	o, err := readObject(ctx, c.driver, gcStateKey)
	if errors.Is(err, drivers.ErrNotFound) {
		return collected{}, nil
	} else if err != nil {
		return collected{}, err
	}
	state := collected{etag: o.info.ETag}
	if err := json.Unmarshal(o.body, &state); err != nil {
		c.log.Warn("the collector's state can't be read; it begins anew", "key", gcStateKey, "err", err)
		return collected{etag: o.info.ETag}, nil
	}
	if len(c.unread) > 0 {
		return collected{Repos: state.Repos, etag: state.etag}, nil // all records are read again, and all days looked at
	}
	for _, run := range state.runs() {
		if _, err := c.driver.Stat(ctx, run); errors.Is(err, drivers.ErrNotFound) {
			c.log.Warn("a part of the collector's state is missing; it begins anew", "key", run)
			return collected{etag: o.info.ETag}, nil // all records are read again
		} else if err != nil {
			return collected{}, err
		}
	}
	return state, nil
}

// save writes the state. ErrCollecting if another collector has written it meanwhile.
func (d *dataCollector) save(ctx context.Context) error {
	d.state.Read, d.state.Named, d.state.Repos = d.read.runs, d.named.runs, d.reposRuns
	body, err := json.Marshal(d.state)
	if err != nil {
		return err
	}
	if d.state.etag == "" {
		err = d.putIfAbsent(ctx, gcStateKey, body)
	} else {
		err = d.putIfMatch(ctx, gcStateKey, body, d.state.etag)
	}
	if errors.Is(err, drivers.ErrExists) || errors.Is(err, drivers.ErrPrecondition) {
		return errLeaseLost
	} else if err != nil {
		return err
	}
	info, err := d.driver.Stat(ctx, gcStateKey)
	d.state.etag = info.ETag
	return err
}

// recordMark stands for a record as it is; the order is that of the keys.
func recordMark(entry drivers.Entry) mark {
	var m mark
	rest := strings.TrimPrefix(entry.Key, "blobs/")
	if algorithm, key, ok := strings.Cut(rest, "/"); ok && len(key) > 19 {
		if m[0] = 1; algorithm == "sha512" {
			m[0] = 2
		}
		_, _ = hex.Decode(m[1:9], []byte(key[3:19]))
	}
	sum := sha256.Sum256([]byte(entry.Key + "\n" + entry.ETag))
	copy(m[9:], sum[:])
	return m
}

// readRecords reads the records that no collection has read before.
func (d *dataCollector) readRecords(ctx context.Context) error {
	next, stop := iter.Pull2(d.known(ctx))
	defer stop()
	known := &recordCursor{next: next}
	const batch = 10_000
	var news []drivers.Entry
	for entry, err := range d.driver.List(ctx, "blobs/", "", "") {
		if err != nil {
			return err
		}
		if err := d.saw(ctx, 1); err != nil {
			return err
		}
		seen, err := known.has(recordMark(entry))
		if err != nil {
			return err
		}
		if seen {
			continue
		}
		if news = append(news, entry); len(news) == batch {
			if err := d.readSome(ctx, news); err != nil {
				return err
			}
			news = news[:0]
		}
	}
	return d.readSome(ctx, news)
}

// known are the marks of records as they were when the reading began.
func (d *dataCollector) known(ctx context.Context) iter.Seq2[mark, error] {
	before := &marks{driver: d.driver, runs: slices.Clone(d.read.runs)}
	return before.all(ctx)
}

// recordCursor is a cursor over marks of which several may begin alike: versions of one record.
type recordCursor struct {
	next  func() (mark, error, bool)
	group []mark // all that begin as the last one asked for
	ahead *mark
	ended bool
}

func (c *recordCursor) has(m mark) (bool, error) {
	const part = 9
	c.group = slices.DeleteFunc(c.group, func(g mark) bool { return string(g[:part]) != string(m[:part]) })
	for !c.ended {
		if c.ahead == nil {
			now, err, more := c.next()
			if err != nil {
				return false, err
			}
			if !more {
				c.ended = true
				break
			}
			c.ahead = &now
		}
		if string(c.ahead[:part]) > string(m[:part]) {
			break
		}
		if string(c.ahead[:part]) == string(m[:part]) {
			c.group = append(c.group, *c.ahead)
		}
		c.ahead = nil
	}
	return slices.Contains(c.group, m), nil
}

// readSome reads records and keeps what they name.
func (d *dataCollector) readSome(ctx context.Context, entries []drivers.Entry) error {
	names := make([]string, len(entries))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelCollect)
	for i, entry := range entries {
		g.Go(func() error {
			o, err := readObject(gctx, d.driver, entry.Key)
			if errors.Is(err, drivers.ErrNotFound) {
				return nil // collected since, or by a DELETE of all
			} else if err != nil {
				return err
			}
			record, err := decodeRecord(entry.Key, o.body)
			names[i] = record.Data
			return err // what it names is not known, so nothing may be removed
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	save := false
	for i, entry := range entries {
		if names[i] == "" {
			continue
		}
		if m, _, ok := dataMark(names[i]); ok {
			spilled, err := d.named.add(ctx, m)
			if err != nil {
				return err
			}
			save = save || spilled
		}
		if _, err := d.read.add(ctx, recordMark(entry)); err != nil {
			return err
		}
		d.state.Count++
	}
	if !save || d.o.DryRun {
		return nil
	}
	// What has been read so far need not be read again if this collection is broken off.
	if err := errors.Join(d.named.spill(ctx), d.read.spill(ctx)); err != nil {
		return err
	}
	return d.save(ctx)
}

// dataMark stands for the data at a key, in the order of the keys; day is that of the key. ok is false for keys that no
// registry of this kind makes.
func dataMark(key string) (m mark, day string, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 4 || parts[0]+"/" != dataPrefix || len(parts[3]) != 32 || !strings.HasPrefix(parts[3], parts[1]) || len(parts[1]) != 2 {
		return mark{}, "", false
	}
	t, err := time.Parse(time.DateOnly, parts[2])
	if err != nil {
		return mark{}, "", false
	}
	id, err := hex.DecodeString(parts[3])
	if err != nil || hex.EncodeToString(id) != parts[3] {
		return mark{}, "", false
	}
	m[0] = id[0]
	binary.BigEndian.PutUint32(m[1:], uint32(t.Unix()/86400))
	copy(m[5:], id[1:])
	return m, parts[2], true
}

// markDay is the day of a mark made by dataMark.
func markDay(m mark) string {
	return time.Unix(int64(binary.BigEndian.Uint32(m[1:]))*86400, 0).UTC().Format(time.DateOnly)
}

// sweep compares the data of the days that are not settled with what records name.
func (d *dataCollector) sweep(ctx context.Context) error {
	next, stop := iter.Pull2(d.named.all(ctx))
	defer stop()
	named := &cursor{next: next}
	const batch = 1000
	var garbage []drivers.Entry
	flush := func() error {
		err := d.removeData(ctx, garbage)
		garbage = garbage[:0]
		return err
	}
	for folder, err := range d.driver.List(ctx, dataPrefix, "", "/") {
		if err != nil {
			return err
		}
		if !folder.IsPrefix {
			continue
		}
		after := ""
		if d.state.Settled != "" {
			after = folder.Key + d.state.Settled + "~" // '~' comes after the slash and whatever is in keys
		}
		for entry, err := range d.driver.List(ctx, folder.Key, after, "") {
			if err != nil {
				return err
			}
			if err := d.saw(ctx, 1); err != nil {
				return err
			}
			m, day, ok := dataMark(entry.Key)
			if !ok {
				continue
			}
			if is, err := named.has(m); err != nil {
				return err
			} else if is || d.moved.data[entry.Key] {
				continue
			}
			if !entry.ModTime.Before(d.abandoned()) || day > d.abandoned().UTC().Format(time.DateOnly) {
				d.undecide(day)
				continue
			}
			if garbage = append(garbage, entry); len(garbage) == batch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

func (d *dataCollector) undecide(day string) {
	if d.undecided == "" || day < d.undecided {
		d.undecided = day
	}
}

func (d *dataCollector) removeData(ctx context.Context, garbage []drivers.Entry) error {
	failed := d.report.Failed
	leased, cancel, err := d.lease.within(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	err = d.removeAll(leased, RemovedData, "no blob's record names it", garbage)
	if leased.Err() != nil && ctx.Err() == nil {
		err = d.broken() // the store is so slow that the lease ran out; the next collection does the rest
	}
	if d.report.Failed > failed {
		for _, e := range garbage {
			_, day, _ := dataMark(e.Key)
			d.undecide(day)
		}
	}
	return err
}
