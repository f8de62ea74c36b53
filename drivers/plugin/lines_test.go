package plugin

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// FuzzRecord reads a line that a plugin has written: a record is logged as one line, whatever is in it.
func FuzzRecord(f *testing.F) {
	for _, line := range []string{`{"level":"INFO","msg":"x","a":1}`, `{"level":"ERROR+2","msg":"a\nb","time":"x"}`, `{"level":1,"msg":2}`, `{`, `{}`, "", `{"level":"INFO","msg":"x","b":{"c":[1,null]},"a\n":"\u0000"}`, `{"level":"INFO","level":"WARN","msg":"x"}`, "words"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, ok := parseRecord(line)
		if !ok {
			return
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: r.level})).LogAttrs(t.Context(), r.level, r.message, r.attrs...)
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%q is logged on %d lines: %s", line, n, &out)
		}
		for i := 1; i < len(r.attrs); i++ {
			if r.attrs[i].Key <= r.attrs[i-1].Key {
				t.Errorf("%q: %q comes after %q", line, r.attrs[i].Key, r.attrs[i-1].Key)
			}
		}
	})
}
