package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/longshore-registry/longshore/config"
)

// FuzzLoad looks for a panic, an error that is not a list of problems, and problems without a message.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		"http: {addr: x}\n", "http:\n\taddr: x\n", "a: &a [*a]\n", "storage:\n  fs:\n  s3:\n", "? [a]\n: b\n", "--- \n---\n", "http: &h\n  addr: *h\n",
		"http: {addr: '${X}', <<: *x}\n", "storage: {s3: {secret_key: !!binary x}}\n", "\"\\u0000\": 1\n", "http: {addr: |\n  x\n}\n", "\r\u2028a: b", "*", "!",
		"access: {rules: [{repositories: &x [1]}, *x, {claims: {? [a] : b}}], labels: {a: *x}}\n",
	} {
		f.Add([]byte(s), "LONGSHORE_HTTP_ADDR", "x")
	}
	f.Add([]byte("{}"), "LONGSHORE_STORAGE_FILE", "/dev/null")
	f.Fuzz(func(t *testing.T, file []byte, name, value string) {
		path := filepath.Join(t.TempDir(), "c.yml")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		// No fuzzed value may name a file that exists, such as /dev/zero.
		for _, into := range []any{defaults(), new(ruled)} {
			_, err := config.Load(into, config.Options{File: path, Prefix: "LONGSHORE", Env: []string{name + "=\x00" + value}})
			var problems config.Problems
			if err != nil && !errors.As(err, &problems) {
				t.Fatalf("%v", err)
			}
			for _, p := range problems {
				if p.Message == "" || p.String() == "" {
					t.Errorf("a problem without words: %+v", p)
				}
			}
		}
	})
}
