package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// lines takes what a plugin prints, line by line, and keeps the last of it.
type lines struct {
	tell func(line string)

	mu   sync.Mutex
	part []byte // of a line
	last []string
	died string // the first line of what Go prints when a program dies, before pages of stacks
}

// keptLines is how many lines an error shows.
const keptLines = 5

// longestLine is how many bytes of a line are kept; what is beyond makes a line of its own.
const longestLine = 64 << 10

// Write takes part of a line, or several.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	for {
		line, rest, found := bytes.Cut(l.part, []byte("\n"))
		if !found && len(l.part) < longestLine {
			return len(b), nil
		}
		text := strings.ToValidUTF8(string(line), "\uFFFD")
		l.tell(text)
		if strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ") {
			l.died = text
		}
		l.last = append(l.last, plain(text))
		l.last = l.last[max(0, len(l.last)-keptLines):]
		l.part = bytes.Clone(rest)
	}
}

// tail is the end of what was printed, for the end of an error.
func (l *lines) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.died != "":
		return "; it said: " + l.died
	case len(l.last) > 0:
		return "; it said: " + strings.Join(l.last, " | ")
	}
	return ""
}

// toLog makes records of the lines. One that slog's JSONHandler has written keeps its level and attributes.
func toLog(log *slog.Logger, name string) func(string) {
	log = log.With("plugin", name)
	return func(line string) {
		r, ok := parseRecord(line)
		if !ok {
			log.Info(line)
			return
		}
		log.LogAttrs(context.Background(), r.level, r.message, r.attrs...)
	}
}

// toWriter writes the lines for people, with the plugin's name before each.
func toWriter(w io.Writer, name string) func(string) {
	return func(line string) {
		if r, ok := parseRecord(line); ok && r.level < slog.LevelInfo {
			return
		}
		fmt.Fprintf(w, "%s: %s\n", name, plain(line))
	}
}

// plain is a line for people.
func plain(line string) string {
	r, ok := parseRecord(line)
	if !ok {
		return line
	}
	var b strings.Builder
	if r.level > slog.LevelInfo {
		b.WriteString(r.level.String() + " ")
	}
	b.WriteString(r.message)
	for _, a := range r.attrs {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
	}
	return b.String()
}

// record is what a JSONHandler wrote.
type record struct {
	level   slog.Level
	message string
	attrs   []slog.Attr
}

// parseRecord reads a line of a JSONHandler. Attributes come in the order of their names.
func parseRecord(line string) (r record, ok bool) {
	if !strings.HasPrefix(line, "{") {
		return r, false
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		return r, false
	}
	level, isLevel := fields[slog.LevelKey].(string)
	message, isMessage := fields[slog.MessageKey].(string)
	if !isLevel || !isMessage || r.level.UnmarshalText([]byte(level)) != nil {
		return r, false
	}
	r.message = message
	for key, value := range fields {
		if key != slog.LevelKey && key != slog.MessageKey && key != slog.TimeKey {
			r.attrs = append(r.attrs, slog.Any(key, value))
		}
	}
	slices.SortFunc(r.attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	return r, true
}
