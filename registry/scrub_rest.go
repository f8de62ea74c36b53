package registry

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// settledAge is how old an object of collectors has to be before nobody is at work on it, whatever it says.
const settledAge = longestLife + time.Hour

// scrubRoot looks for what is not of this format.
func (s *scrubber) scrubRoot(ctx context.Context) error {
	known := []string{formatKey, "access/", "blobs/", catalogPrefix, "certs/", condemnedPrefix, dataPrefix, "gc/", "index/", quarantinePrefix, reposPrefix, uploadsPrefix}
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
	how := &mend{}
	if entry.ModTime.After(s.began.Add(-settledAge)) {
		how = nil // its collector may be at work
	}
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
		return s.readSmall(ctx, f, nil, func(body []byte) error { return json.Unmarshal(body, &collected{}) })
	case strings.HasPrefix(key, gcLogPrefix):
		f.Reason = "what a collection was about to delete can't be read; the next one looks at all data"
		return s.readSmall(ctx, f, nil, func(body []byte) error {
			_, err := s.decodeNote(body)
			return err
		})
	case strings.HasPrefix(key, gcRunsPrefix):
		if entry.Size%markSize == 0 {
			return nil
		}
		f.Reason = "what collections have read can't be read, so they fail; without it the next one begins anew"
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

// readAnnouncementOf reads an announcement. One that can't be read is waited for until it is void.
func (s *scrubber) readAnnouncementOf(ctx context.Context, key, repo string) error {
	f := Finding{Kind: FoundAnnouncement, Key: key, Repository: repo, Reason: "the announcement can't be read, so requests wait for its end until it is two hours old"}
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
