package cli

import (
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// newLogger makes the logger that the settings ask for: lines for people on a terminal, else JSON.
func (p program) newLogger(s logSettings) *slog.Logger {
	level := map[string]slog.Level{"debug": slog.LevelDebug, "warn": slog.LevelWarn, "error": slog.LevelError}[s.Level]
	if p.asText(s) {
		return slog.New(tint.NewTextHandler(p.stderr, &tint.Options{
			Level: level, TimeFormat: time.TimeOnly, NoColor: !isTerminal(p.stderr) || p.getenv("NO_COLOR") != "",
		}))
	}
	return slog.New(slog.NewJSONHandler(p.stderr, &slog.HandlerOptions{Level: level}))
}

// asText reports whether people read the log.
func (p program) asText(s logSettings) bool {
	return s.Format == "text" || s.Format == "auto" && isTerminal(p.stderr)
}

// isTerminal reports whether somebody sits in front of w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// getenv is the value of a variable of the program's environment, "" if it is not set. As in
// the process itself the last one counts.
func (p program) getenv(name string) string {
	for _, pair := range slices.Backward(p.env) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}
