package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// ScrubOptions are the settings of a Scrub. The zero value of each field means its default.
type ScrubOptions struct {
	// Bytes reads the bytes of each blob and compares its digest, and reads each small object that is otherwise judged by its key and size.
	Bytes bool

	// Rate bounds the bytes of blobs that are read in a second. 0: as fast as it goes.
	Rate int64

	// Readers is how many blobs are read side by side. Default 4.
	Readers int

	// Repair puts right what can be, and moves to quarantine/ what is corrupt. Without it nothing is written.
	Repair bool

	// DropQuarantined removes what earlier Scrubs have moved to quarantine/, and the bytes of the blobs.
	DropQuarantined bool

	// Sole says that no collection runs meanwhile. Repair needs it on stores without put-if-absent and put-if-match.
	Sole bool

	// Pause is how long after the first look all is looked at again that seems wrong. Default 5 s.
	Pause time.Duration

	// By is how announcements name this process, for people.
	By string

	// Found is told of each finding, when all is known of it and it was repaired or not. It is called by one goroutine at a time.
	Found func(Finding)

	// Progress is told how far it is, now and then. It is called by one goroutine at a time.
	Progress func(ScrubProgress)
}

// FindingKind is what sort of thing is wrong.
type FindingKind string

// What a Scrub finds. The comments say what Repair does about it; "quarantine" is to move the object below quarantine/.
const (
	FoundRecord      FindingKind = "record"       // a blob's record can't be read: quarantine
	FoundMissingData FindingKind = "missing data" // a record names data that is not there: quarantine of the record
	FoundSize        FindingKind = "size"         // the data has another size than its record says: quarantine of the record
	FoundBytes       FindingKind = "bytes"        // the data does not have the blob's digest: quarantine of the record
	FoundUnsteady    FindingKind = "unsteady"     // the data had another digest when it was first read, and the right one after that
	FoundSharedData  FindingKind = "shared data"  // two records name the same data

	FoundLink         FindingKind = "link"          // a link's content is not what it has to be: it gets a new one
	FoundDanglingLink FindingKind = "dangling link" // an old link that nothing needs, to a blob without a record: removed

	FoundManifest        FindingKind = "manifest"         // it can't be read, or does not have its digest: quarantine
	FoundMissingBlob     FindingKind = "missing blob"     // an image lacks it
	FoundMissingManifest FindingKind = "missing manifest" // an index that a tag leads to lacks it
	FoundIncomplete      FindingKind = "incomplete"       // a manifest lacks something, and nothing leads to it: a push that failed leaves such

	FoundTag         FindingKind = "tag"          // it can't be read: quarantine
	FoundDanglingTag FindingKind = "dangling tag" // its manifest is not there

	FoundReferrer          FindingKind = "referrer"           // an entry among the referrers can't be read: written anew
	FoundMissingReferrer   FindingKind = "missing referrer"   // there is none for a manifest with a subject: written
	FoundMissingParent     FindingKind = "missing parent"     // likewise for what an index names: written
	FoundStaleEntry        FindingKind = "stale entry"        // an old one whose manifest is not there: removed
	FoundMissingRepository FindingKind = "missing repository" // it has tags or manifests and no line in the catalogue: written

	FoundHistory      FindingKind = "history"      // an entry of a tag's history can't be read: quarantine
	FoundDeleted      FindingKind = "deleted"      // something that was deleted and could be had back can't be read: quarantine
	FoundUpload       FindingKind = "upload"       // a step of an upload session can't be read; a collection removes it
	FoundAnnouncement FindingKind = "announcement" // it can't be read: removed once it is old
	FoundCollection   FindingKind = "collection"   // something that collections keep can't be read; what they can't do without is removed

	FoundQuarantined FindingKind = "quarantined" // what an earlier Scrub moved
	FoundForeign     FindingKind = "foreign"     // a key that is not of this format
	FoundUnread      FindingKind = "unread"      // the store failed to read or list it
)

// remark reports whether findings of that kind are no damage.
func (k FindingKind) remark() bool {
	switch k {
	case FoundIncomplete, FoundUpload, FoundCollection, FoundQuarantined, FoundForeign:
		return true
	}
	return false
}

// loose reports whether a process that dies in the middle of a push or a DELETE can leave such.
func (k FindingKind) loose() bool {
	switch k {
	case FoundDanglingLink, FoundMissingReferrer, FoundMissingParent, FoundStaleEntry, FoundMissingRepository:
		return true
	}
	return false
}

// Mended is what was done about a finding.
type Mended string

// What is done.
const (
	MendedRemoved     Mended = "removed"
	MendedWritten     Mended = "written"
	MendedQuarantined Mended = "quarantined"
)

// Finding is one thing that is wrong, or strange.
type Finding struct {
	Kind       FindingKind   `json:"kind"`
	Key        string        `json:"key"`                  // of the object that is wrong, or that lacks something
	Digest     digest.Digest `json:"digest,omitempty"`     // of the blob or manifest that it is about
	Repository string        `json:"repository,omitempty"` // "" if it is not about one
	Reason     string        `json:"reason"`
	Images     []string      `json:"images,omitempty"` // that are not whole for it, NAME:TAG or NAME@DIGEST; a hundred at most
	More       int           `json:"more,omitempty"`   // images beyond these
	Recent     bool          `json:"recent,omitempty"` // so young that a process that has just died in the middle of a push explains it
	Done       Mended        `json:"done,omitempty"`   // "" if nothing was
	Open       bool          `json:"open"`             // it is damage, and still there
	Err        error         `json:"-"`                // why it could not be read or repaired
}

// ScrubProgress is how far a Scrub is.
type ScrubProgress struct {
	Phase string // what is done now, for people
	Seen  int64  // things in this phase so far: keys, or blobs
	Of    int64  // how many there are; 0 if that is not known
	Bytes int64  // of blobs, read in this phase
	Total int64  // bytes to read in this phase; 0 if that is not known
	Found int    // findings so far
}

// ScrubReport is the outcome of a Scrub.
type ScrubReport struct {
	Began    time.Time           `json:"began"`
	Repair   bool                `json:"repair"`
	Findings map[FindingKind]int `json:"findings"`
	Open     int                 `json:"open"`     // findings that are damage and still there
	Repaired int                 `json:"repaired"` // findings about which something was done

	Repositories int64 `json:"repositories"`
	Tags         int64 `json:"tags"`
	Manifests    int64 `json:"manifests"`
	Blobs        int64 `json:"blobs"`     // records
	BlobBytes    int64 `json:"blobBytes"` // that they say they have
	Links        int64 `json:"links"`

	Listed    int64 `json:"listed"`    // keys
	Objects   int64 `json:"objects"`   // small objects that were read
	Read      int64 `json:"read"`      // bytes of them
	Verified  int64 `json:"verified"`  // blobs whose bytes were read
	ReadBlobs int64 `json:"readBlobs"` // bytes of them
	Unnamed   Tally `json:"unnamed"`   // data that no record names: of uploads under way, or what a collection removes
}

// scrubber is a Scrub under way.
type scrubber struct {
	*Registry
	o     ScrubOptions
	began time.Time
	slots chan struct{} // requests for small objects under way

	recorded    *numberSet // blobs that have a record
	catalogue   *nameSet   // repositories that have a line
	quarantined *numberSet // blobs whose record was moved

	dropping []*Finding // what is in quarantine and shall go

	blobs []scrubbedBlob
	tails map[[32]byte][32]byte // the second halves of sha512 digests, by the first

	mu      sync.Mutex // guards what follows
	report  ScrubReport
	phase   ScrubProgress
	told    time.Time
	unread  []error
	pending []*doubt
	bad     map[digest.Digest]*Finding // damaged blobs, which are told of when it is known who has them
	linked  map[digest.Digest]bool     // of them, those that a repository has
	obscure bool                       // it is not known what some record names
	judged  bool                       // all repositories have been looked through
}

// Exists reports, in one request, whether a registry has made d its store. Open would make it one.
func Exists(ctx context.Context, d drivers.Driver) (bool, error) {
	_, err := d.Stat(ctx, formatKey)
	if errors.Is(err, drivers.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Scrub reads the store and compares what is there with what docs/storage-format.md says. Any number of processes may push, delete and collect meanwhile: what
// looks wrong is looked at again, in the order of the protocols, before it is a finding. docs/scrub.md is for operators.
//
// What the store fails to read is a finding too; only when too much of it fails is there an error. When ctx ends, the report has what was found so far.
// It holds in memory about 80 bytes for each blob, 16 for each repository, what the keys of a few repositories take, and the findings.
func (r *Registry) Scrub(ctx context.Context, o ScrubOptions) (ScrubReport, error) {
	if o.Repair && !o.Sole && (r.extras.Absent == nil || r.extras.Match == nil) {
		return ScrubReport{}, ErrSole
	}
	const pause, readers = 5 * time.Second, 4
	o.Pause, o.Readers = cmp.Or(o.Pause, pause), cmp.Or(o.Readers, readers)
	s := &scrubber{
		Registry: r, o: o, began: r.now(), slots: make(chan struct{}, parallelCollect),
		recorded: allNumbers(), catalogue: newNameSet(), quarantined: allNumbers(), tails: map[[32]byte][32]byte{},
		report: ScrubReport{Began: r.now().UTC(), Repair: o.Repair, Findings: map[FindingKind]int{}},
		bad:    map[digest.Digest]*Finding{}, linked: map[digest.Digest]bool{},
	}
	err := s.run(ctx)
	s.tellOfBlobs()
	return s.report, err
}

// run does the parts one after the other: blobs before what names them, the catalogue before the repositories.
func (s *scrubber) run(ctx context.Context) error {
	for _, part := range []struct {
		phase string
		do    func(context.Context) error
	}{
		{"looking at what is there", s.scrubRoot},
		{"looking at the quarantine", s.scrubQuarantine},
		{"reading the records of blobs", s.scrubRecords},
		{"comparing data with records", s.scrubData},
		{"dropping what is in quarantine", s.dropQuarantined},
		{"reading blobs", s.scrubBytes},
		{"reading the catalogue", s.scrubCatalogue},
		{"looking through repositories", s.scrubRepositories},
		{"looking at uploads", s.scrubUploads},
		{"looking at what collections keep", s.scrubCollections},
	} {
		s.enter(part.phase)
		err := part.do(ctx)
		if err == nil {
			err = s.settle(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.phase, err)
		}
	}
	return nil
}

func (s *scrubber) enter(phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = ScrubProgress{Phase: phase}
	s.tell(true)
}

// tell calls Progress, unless it did so just now. s.mu is held.
func (s *scrubber) tell(always bool) {
	const each = 200 * time.Millisecond
	now := time.Now()
	if s.o.Progress == nil || !always && now.Sub(s.told) < each {
		return
	}
	s.told = now
	p := s.phase
	for _, n := range s.report.Findings {
		p.Found += n
	}
	s.o.Progress(p)
}

// saw counts a listed key.
func (s *scrubber) saw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Listed++
	s.phase.Seen++
	s.tell(false)
}

// count changes the report.
func (s *scrubber) count(change func(*ScrubReport)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.report)
}

// found reports a finding of which all is known.
func (s *scrubber) found(f *Finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellOf(f)
}

// tellOf is found where s.mu is held.
func (s *scrubber) tellOf(f *Finding) {
	s.report.Findings[f.Kind]++
	switch {
	case f.Kind.remark() && f.Err == nil || f.Recent && f.Kind.loose():
	case f.Done == MendedQuarantined:
		f.Open = f.Open || len(f.Images) > 0
	default:
		f.Open = f.Done == ""
	}
	if f.Open {
		s.report.Open++
	}
	if f.Done != "" {
		s.report.Repaired++
	}
	if s.o.Found != nil {
		s.o.Found(*f)
	}
}

// cannotRead reports that something could not be read. It returns an error if ctx has ended, or once so much has failed that it makes no sense to go on.
func (s *scrubber) cannotRead(ctx context.Context, f Finding, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.Kind, f.Reason, f.Err = FoundUnread, "the store failed to read it", err
	s.found(&f)
	s.mu.Lock()
	defer s.mu.Unlock()
	const shown = 10
	if s.unread = append(s.unread, err); len(s.unread) < mostErrors {
		return nil
	}
	return fmt.Errorf("%d things could not be read: %w", len(s.unread), errors.Join(s.unread[:shown]...))
}

// recent reports whether something of that time may belong to a push that is under way, or was until its process died.
func (s *scrubber) recent(t time.Time) bool { return t.After(s.began.Add(-LeftoverAge(s.uploadLife))) }

// read reads a small object.
func (s *scrubber) read(ctx context.Context, key string) (object, error) {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	o, err := readObject(ctx, s.driver, key)
	s.count(func(r *ScrubReport) {
		r.Objects++
		r.Read += int64(len(o.body))
	})
	return o, err
}

// stat returns "" if there is nothing at key, else what tells the object from any other that is there before or after it.
func (s *scrubber) stat(ctx context.Context, key string) (etag string, err error) {
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	info, err := s.driver.Stat(ctx, key)
	if errors.Is(err, drivers.ErrNotFound) {
		return "", nil
	}
	return info.ETag, err
}

// heldKey is the key in a context of the announcement that the caller itself has put up.
type heldKey struct{}

// waitOutOthers is waitOut, but does not wait for the caller's own announcement.
func (s *scrubber) waitOutOthers(ctx context.Context, key string) error {
	if ctx.Value(heldKey{}) == key {
		return nil
	}
	return s.waitOut(ctx, key)
}

// foreign reports a key that no registry makes. It is left alone.
func (s *scrubber) foreign(key string) {
	reason := "no registry of this format makes such a key"
	if strings.HasSuffix(key, "/") {
		reason = "no registry of this format makes such keys"
	}
	s.found(&Finding{Kind: FoundForeign, Key: key, Reason: reason})
}
