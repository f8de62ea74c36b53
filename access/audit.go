package access

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// What an Event is about.
const (
	EventLogin      = "login"
	EventPush       = "push"       // a manifest, with its tags
	EventDelete     = "delete"     // of a tag, a manifest, a blob or a repository
	EventTagMove    = "tag-move"   // a tag that was there points at something else
	EventRestore    = "restore"    // of a tag or a repository
	EventPermission = "permission" // users, robots, keys, visibility
)

// How it came out.
const (
	OutcomeOK        = "ok"
	OutcomeFailed    = "failed"    // the credentials are not good, or the store failed
	OutcomeDenied    = "denied"    // by the policy
	OutcomeThrottled = "throttled" // too many failed logins
)

// Event is one line of the audit log.
type Event struct {
	Time       time.Time `json:"time"`
	Event      string    `json:"event"`   // EventLogin and the like
	Outcome    string    `json:"outcome"` // OutcomeOK and the like
	Who        string    `json:"who"`     // Identity.Name; of a login that failed, the name that was tried; "" for anonymous
	Kind       Kind      `json:"kind,omitempty"`
	Source     string    `json:"source,omitempty"`
	From       string    `json:"from,omitempty"` // the client's address
	Repository string    `json:"repository,omitempty"`
	Reference  string    `json:"reference,omitempty"` // tag or digest; of a permission, what was changed: "user add alice"
	Reason     string    `json:"reason,omitempty"`    // why it was denied or failed; which rule allowed it
	RequestID  string    `json:"request_id,omitempty"`
}

// Audit writes events as JSON, one a line.
type Audit struct {
	log *slog.Logger
	mu  sync.Mutex
	to  io.Writer
	bad bool // the last write failed, and that was logged
}

// NewAudit writes to to, one Write a line. That it fails is logged to log once until it works again: a registry that
// answers pulls is worth more than one that stops with its disk.
func NewAudit(to io.Writer, log *slog.Logger) *Audit { return &Audit{to: to, log: log} }

// maxText is the most that is written of a text that a client chose, in bytes.
const maxText = 512

// record writes a line.
func (a *Audit) record(e Event) {
	for _, s := range []*string{&e.Who, &e.Repository, &e.Reference, &e.Reason, &e.RequestID} {
		*s = cut(*s)
	}
	e.Time = e.Time.UTC()
	line, err := json.Marshal(e)
	if err != nil {
		a.complain(fmt.Errorf("an event can't be written: %w", err))
		return
	}
	a.mu.Lock()
	_, err = a.to.Write(append(line, '\n'))
	a.mu.Unlock()
	a.complain(err)
}

func (a *Audit) complain(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil && !a.bad {
		a.log.Error("the audit log can't be written", "err", err)
	}
	a.bad = err != nil
}

func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

// Record writes an event to the audit log, with the time where it has none. Without an audit log it does nothing.
func (c *Control) Record(e Event) {
	if c.o.Audit == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = c.o.Now()
	}
	c.o.Audit.record(e)
}

// EventOf is an event about what somebody did, with who he is filled in.
func EventOf(id Identity, event, outcome string) Event {
	return Event{Event: event, Outcome: outcome, Who: id.Name, Kind: id.Kind, Source: id.Source}
}

// loginEvent is that of a login. The name that was tried is told, its password never.
func loginEvent(c Credentials, id Identity, outcome, reason string) Event {
	e := EventOf(id, EventLogin, outcome)
	if e.Who == "" {
		e.Who = c.Name
	}
	if c.Address.IsValid() {
		e.From = c.Address.String()
	}
	e.Reason, e.RequestID = reason, c.RequestID
	return e
}
