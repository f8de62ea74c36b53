package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// settledAge is how old an object of collectors has to be before it counts as one that nobody is at work on: announcements last for minutes.
const settledAge = time.Hour

// scrubRoot looks for what is not of this format.
func (s *scrubber) scrubRoot(ctx context.Context) error {
	known := []string{formatKey, "blobs/", catalogPrefix, condemnedPrefix, dataPrefix, "gc/", quarantinePrefix, reposPrefix, uploadsPrefix}
	for entry, err := range s.driver.List(ctx, "", "", "/") {
		if err != nil {
			return err
		}
		s.saw()
		if !slices.Contains(known, entry.Key) {
			s.foreign(entry.Key)
		}
	}
	return nil
}

// scrubCatalogue learns which repositories have a line. One that has nothing else is left to collections.
func (s *scrubber) scrubCatalogue(ctx context.Context) error {
	for entry, err := range s.driver.List(ctx, catalogPrefix, "", "") {
		if err != nil {
			return err
		}
		s.saw()
		name := catalogName(entry.Key)
		if CheckName(name) != nil || catalogKey(name) != entry.Key {
			s.foreign(entry.Key)
			continue
		}
		s.catalogue.add(name)
	}
	return nil
}

// scrubQuarantine finds what was moved there.
func (s *scrubber) scrubQuarantine(ctx context.Context) error {
	for entry, err := range s.driver.List(ctx, quarantinePrefix, "", "") {
		if err != nil {
			return err
		}
		s.saw()
		key, ok := quarantinedKey(entry.Key)
		if !ok {
			s.foreign(entry.Key)
			continue
		}
		f := Finding{Kind: FoundQuarantined, Key: entry.Key, Reason: "moved there from " + key + " at " + entry.ModTime.UTC().Format(time.RFC3339)}
		if d, ok := recordDigest(key); ok {
			f.Digest = d
			s.quarantined.add(digestNumber(d))
		}
		etag, err := s.stat(ctx, key)
		if err != nil {
			if err := s.cannotRead(ctx, f, err); err != nil {
				return err
			}
			continue
		}
		if etag != "" {
			f.Reason += "; there is a new one since"
		}
		s.found(&f)
	}
	s.quarantined.sort()
	return nil
}

// scrubUploads reads the steps of upload sessions.
func (s *scrubber) scrubUploads(ctx context.Context) error {
	for entry, err := range s.driver.List(ctx, uploadsPrefix, "", "") {
		if err != nil {
			return err
		}
		s.saw()
		id, step, ok := strings.Cut(strings.TrimPrefix(entry.Key, uploadsPrefix), "/")
		if !ok || strings.Contains(step, "/") {
			s.foreign(entry.Key)
			continue
		}
		if step == cancelledStep {
			continue
		}
		f := Finding{Kind: FoundUpload, Key: entry.Key, Reason: "the session can't be read, so its upload can't go on; a collection removes it"}
		err := s.readSmall(ctx, f, nil, func(body []byte) error {
			session, err := decodeSession(body)
			if err == nil && session.ID != id {
				err = errors.New("it is another session's")
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scrubCollections reads the announcements of collectors, and what they keep for each other.
func (s *scrubber) scrubCollections(ctx context.Context) error {
	for _, prefix := range []string{condemnedPrefix, "gc/"} {
		for entry, err := range s.driver.List(ctx, prefix, "", "") {
			if err != nil {
				return err
			}
			s.saw()
			if err := s.scrubCollection(ctx, entry); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *scrubber) scrubCollection(ctx context.Context, entry drivers.Entry) error {
	f := Finding{Kind: FoundCollection, Key: entry.Key}
	how := &mend{quarantine: true}
	if entry.ModTime.After(s.began.Add(-settledAge)) {
		how = nil // its collector may be at work
	}
	into := func(v any) func([]byte) error { return func(body []byte) error { return json.Unmarshal(body, v) } }
	switch key := entry.Key; {
	case strings.HasPrefix(key, condemnedPrefix):
		if _, ok := linkedDigest(strings.TrimPrefix(key, condemnedPrefix)); !ok {
			s.foreign(key)
			return nil
		}
		return s.readAnnouncementOf(ctx, key, "")
	case key == leaseKey:
		return s.readAnnouncementOf(ctx, key, "")
	case key == gcStateKey:
		f.Reason = "what the last collection knew can't be read; the next one begins anew"
		return s.readSmall(ctx, f, how, into(&collected{}))
	case strings.HasPrefix(key, gcLogPrefix):
		f.Reason = "what a collection was about to delete can't be read"
		return s.readSmall(ctx, f, how, into(&deletions{}))
	case strings.HasPrefix(key, gcRunsPrefix):
		if entry.Size%markSize == 0 {
			return nil
		}
		f.Reason = "what collections have read can't be read; without it the next one begins anew"
		return s.doubts(ctx, &doubt{finding: f, mend: how, look: s.unreadable(key, func(body []byte) error {
			if len(body)%markSize != 0 {
				return errors.New("a mark is cut")
			}
			return nil
		})})
	default:
		s.foreign(key)
		return nil
	}
}

// readAnnouncementOf reads an announcement. One that can't be read keeps all waiting for ever who have to wait for it.
func (s *scrubber) readAnnouncementOf(ctx context.Context, key, repo string) error {
	f := Finding{Kind: FoundAnnouncement, Key: key, Repository: repo, Reason: "the announcement can't be read, so requests that have to wait for its end fail"}
	info, err := s.driver.Stat(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		return nil
	} else if err != nil {
		return s.cannotRead(ctx, f, err)
	}
	how := &mend{takeOver: true}
	if info.ModTime.After(s.began.Add(-settledAge)) {
		how = nil
	}
	return s.readSmall(ctx, f, how, func(body []byte) error {
		_, err := decodeAnnouncement(key, body)
		return err
	})
}

// quarantinePrefix is where a Scrub moves what is corrupt: to quarantine/KEY-SUM, as it is. SUM is the beginning of the content's sha256, so that what is
// moved twice, since the first time was broken off, is there once.
const quarantinePrefix = "quarantine/"

// quarantinedKey is the key that an object below quarantinePrefix had before.
func quarantinedKey(key string) (string, bool) {
	rest := strings.TrimPrefix(key, quarantinePrefix)
	i := strings.LastIndexByte(rest, '-')
	if i < 0 || len(rest)-i-1 != quarantineSum {
		return "", false
	}
	return rest[:i], true
}

// quarantineSum is the length of SUM.
const quarantineSum = 16

func quarantineKey(key string, body []byte) string {
	return fmt.Sprintf("%s%s-%s", quarantinePrefix, key, digest.FromBytes(body).Encoded()[:quarantineSum])
}
