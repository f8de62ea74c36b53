package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longshore-registry/longshore/config"
)

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

func join(errs ...error) error { return errors.Join(errs...) }

func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		env  []string
		want string // CONFIG stands for the file's path
	}{
		"typo": {file: "http:\n  adr: :5000\n", want: `
CONFIG:2:3: http.adr: unknown key; did you mean addr?
    2 |   adr:
      |   ^`},
		"all at once": {file: "htpp: {}\nhttp:\n  addr: a\n  insecure: maybe\n  header_timeout: 60\ncache: {memory: lots}\n", want: `
CONFIG:1:1: htpp: unknown key; did you mean http?
    1 | htpp:
      | ^
CONFIG:4:13: http.insecure: "maybe" is neither true nor false
    4 |   insecure: maybe
      |             ^
CONFIG:5:19: http.header_timeout: "60" has no unit; write 60s for seconds, or 60m for minutes
    5 |   header_timeout: 60
      |                   ^
CONFIG:6:17: cache.memory: "lots" is not a size; write it as 64KiB, 4MiB, 1GB or a number of bytes
    6 | cache: {memory: lots}
      |                 ^`},
		"wrong level": {file: "addr: x\nfs: {root: /x}\n", want: `
CONFIG:1:1: addr: unknown key; it belongs elsewhere: http.addr
    1 | addr:
      | ^
CONFIG:2:1: fs: unknown key; it belongs elsewhere: storage.fs
    2 | fs:
      | ^`},
		"other spelling": {file: "storage: {s3: {accessKey: x, bucket: y}}\n", want: `
CONFIG:1:16: storage.s3.accessKey: unknown key; did you mean access_key?
    1 | storage: {s3: {accessKey:
      |                ^`},
		"hopeless": {file: "http: {zzzzzzz: 1}\n", want: `
CONFIG:1:8: http.zzzzzzz: unknown key; known below http: addr, trusted_proxies, header_timeout and insecure
    1 | http: {zzzzzzz:
      |        ^`},
		"known from elsewhere": {file: "version: 0.1\n", want: `
CONFIG:1:1: version: unknown key; that is of another registry: remove the line
    1 | version:
      | ^`},
		"twice": {file: "http: {addr: x}\nhttp: {addr: y}\n", want: `
CONFIG:2:1: http: is set twice, on line 1 and on line 2; keep one of them
    1 | http:
      | ^
    2 | http:
      | ^`},
		"two drivers": {file: "storage:\n  fs: {root: x}\n  s3: {bucket: b}\n", want: `
CONFIG:3:3: storage: has fs on line 2 and s3 on line 3, but takes one of them; remove one
    2 |   fs:
      |   ^
    3 |   s3:
      |   ^`},
		"unknown driver": {file: "storage: f5\n", want: `
CONFIG:1:10: storage: "f5" is not one of fs, s3 or memory; did you mean fs?
    1 | storage: f5
      |          ^`},
		"no value": {file: "http:\n  addr:\n  trusted_proxies: ~\n", want: `
CONFIG:2:8: http.addr: has no value; give it one, write "" for an empty text, or remove the line to have the default
    2 |   addr:
      |        ^
CONFIG:3:20: http.trusted_proxies: has no value; write [] for an empty list, or remove the line to have the default
    3 |   trusted_proxies: ~
      |                    ^`},
		"wrong shapes": {file: "http: [a]\nstorage: [fs]\nsparse: {a: b}\ncache:\n  memory: [1]\n", want: `
CONFIG:1:7: http: holds a list where keys are expected; put one of addr, trusted_proxies, header_timeout or insecure below it
    1 | http: [a]
      |       ^
CONFIG:2:10: storage: holds a list where one key is expected; put one of fs, s3 or memory below it
    2 | storage: [fs]
      |          ^
CONFIG:3:9: sparse: takes a list of patterns, not keys; write [a, b], or a line that begins with - for each
    3 | sparse: {a: b}
      |         ^
CONFIG:5:11: cache.memory: takes one size, not a list; remove the - or the brackets
    5 |   memory: [1]
      |           ^`},
		"items": {file: "http:\n  trusted_proxies: [10.0.0.0/33, localhost, [1]]\nsparse: ['', 'a[b]']\n", want: `
CONFIG:2:21: http.trusted_proxies: "10.0.0.0/33" is neither a network (10.0.0.0/8, fd00::/8) nor an address (192.0.2.7)
    2 |   trusted_proxies: [10.0.0.0/33, localhost, [1]]
      |                     ^
CONFIG:2:34: http.trusted_proxies: "localhost" is neither a network (10.0.0.0/8, fd00::/8) nor an address (192.0.2.7)
    2 |   trusted_proxies: [10.0.0.0/33, localhost, [1]]
      |                                  ^
CONFIG:2:45: http.trusted_proxies: each item of the list has to be one value
    2 |   trusted_proxies: [10.0.0.0/33, localhost, [1]]
      |                                             ^
CONFIG:3:10: sparse: is empty; remove the line or give it a value
    3 | sparse: ['', 'a[b]']
      |          ^
CONFIG:3:14: sparse: "a[b]": only *, ** and ? are special in a pattern
    3 | sparse: ['', 'a[b]']
      |              ^`},
		"enum, bounds": {file: "http: {header_timeout: 2h}\nstorage: {fs: {durability: none}}\n", want: `
CONFIG:1:24: http.header_timeout: 2h is out of range: it has to be at most 1h
    1 | http: {header_timeout: 2h}
      |                        ^
CONFIG:2:28: storage.fs.durability: "none" is not one of full or fast
    2 | storage: {fs: {durability: none}}
      |                            ^`},
		"numbers": {file: "storage: {s3: {bucket: b, part_size: 1MiB, workers: 70000, secret_key: hush}}\n", want: `
CONFIG:1:38: storage.s3.part_size: 1MiB is out of range: it has to be at least 5MiB
    1 | storage: {s3: {bucket: b, part_size: 1MiB, workers: 70000, secret_key: ***}}
      |                                      ^
CONFIG:1:53: storage.s3.workers: "70000" is out of range
    1 | storage: {s3: {bucket: b, part_size: 1MiB, workers: 70000, secret_key: ***}}
      |                                                     ^`},
		"validated": {file: "storage:\n  s3:\n    secret_key: bad\n", want: `
CONFIG:3:5: storage.s3.bucket: required; set it in the file, or as LONGSHORE_STORAGE_S3_BUCKET
CONFIG:3:17: storage.s3.secret_key: too short`},
		"validated from env": {file: "-", env: []string{"LONGSHORE_STORAGE_FS_ROOT="}, want: `
env LONGSHORE_STORAGE_FS_ROOT: storage.fs.root: required`},
		"missing variable": {file: "http: {addr: '${NOWHERE}:${NOWHERE}${ALSO}'}\ncache: {memory: '${1x}'}\n", want: `
CONFIG:1:14: http.addr: the environment has no variable NOWHERE or ALSO
    1 | http: {addr: '${NOWHERE}:${NOWHERE}${ALSO}'}
      |              ^
CONFIG:2:17: cache.memory: ${ has to be followed by the name of a variable and }; write $${ for a plain ${
    2 | cache: {memory: '${1x}'}
      |                 ^`},
		"merge": {file: "http: {<<: {addr: x}}\n", want: `
CONFIG:1:8: http: merging with << is not supported; write the keys out
    1 | http: {<<: {addr: x}}
      |        ^`},
		"tag": {file: "http: {addr: !vault x}\n", want: `
CONFIG:1:14: http.addr: the tag !vault means nothing here; leave it out
    1 | http: {addr: !vault x}
      |              ^`},
		"variables": {file: "-", env: []string{
			"LONGSHORE_HTTP_ADR=x", "LONGSHORE_ADDR=x", "LONGSHORE_STORAGE_S3=x", "LONGSHORE_HTTP_HEADER_TIMEOUT=soon", "LONGSHORE_QUUX=1",
			"LONGSHORE_HTTP_ADR_FILE=x", "LONGSHORE_HTTP_INSECURE=", "LONGSHORE_CACHE_MEMORY=1", "LONGSHORE_CACHE_MEMORY_FILE=/x", "LONGSHORE_SPARSE_FILE=/not/there",
			"LONGSHORE_PORTS=1",
		}, want: `
env LONGSHORE_ADDR: sets nothing that is known; did you mean LONGSHORE_HTTP_ADDR?
env LONGSHORE_CACHE_MEMORY_FILE: cache.memory: LONGSHORE_CACHE_MEMORY is set too; unset one of them
env LONGSHORE_HTTP_ADR: sets nothing that is known; did you mean LONGSHORE_HTTP_ADDR?
env LONGSHORE_HTTP_ADR_FILE: sets nothing that is known; did you mean LONGSHORE_HTTP_ADDR_FILE?
env LONGSHORE_HTTP_HEADER_TIMEOUT: http.header_timeout: "soon" is not a duration; write it as 30s, 5m or 24h
env LONGSHORE_HTTP_INSECURE: http.insecure: is empty; unset it, or give it a value
env LONGSHORE_PORTS: sets nothing that is known; unset it, or look up the name in the reference
env LONGSHORE_QUUX: sets nothing that is known; unset it, or look up the name in the reference
env LONGSHORE_SPARSE_FILE: sparse: the file /not/there: no such file or directory
env LONGSHORE_STORAGE_S3: is a section and has no value of its own; set LONGSHORE_STORAGE_S3_BUCKET, LONGSHORE_STORAGE_S3_ACCESS_KEY, LONGSHORE_STORAGE_S3_SECRET_KEY, LONGSHORE_STORAGE_S3_PART_SIZE or LONGSHORE_STORAGE_S3_WORKERS`},
		"two drivers in env": {file: "-", env: []string{"LONGSHORE_STORAGE_FS_ROOT=/x", "LONGSHORE_STORAGE_S3_BUCKET=b"}, want: `
env LONGSHORE_STORAGE_S3_BUCKET: storage: belongs to s3, but LONGSHORE_STORAGE_FS_ROOT belongs to fs; unset one of them, or set LONGSHORE_STORAGE=s3 to decide`},
		"a secret for its file": {file: "-", env: []string{"LONGSHORE_STORAGE_S3_BUCKET=b", "LONGSHORE_STORAGE_S3_SECRET_KEY_FILE=hush"}, want: `
env LONGSHORE_STORAGE_S3_SECRET_KEY_FILE: storage.s3.secret_key: the file ***: no such file or directory`},
		"driver in env": {file: "-", env: []string{"LONGSHORE_STORAGE=memori"}, want: `
env LONGSHORE_STORAGE: storage: "memori" is not one of fs, s3 or memory; did you mean memory?`},

		"empty":    {file: " \n", want: `CONFIG: is empty; leave the file out to use the defaults, or write {} into it`},
		"utf-16":   {file: "\xff\xfea\x00", want: `CONFIG: is UTF-16 text; save it as UTF-8`},
		"latin-1":  {file: "http:\n  addr: \"caf\xe9\"\n", want: "CONFIG:2:13: is not UTF-8 text; save it as UTF-8\n    2 |   addr: \"caf\ufffd\"\n      |             ^"},
		"control":  {file: "a: \x01\n", want: "CONFIG:1:4: a control character (U+0001); delete it\n    1 | a: \ufffd\n      |    ^"},
		"tab":      {file: "http:\n\taddr: x\n", want: "CONFIG:2:1: a tab in the indentation; YAML is indented with spaces\n    2 | \taddr: x\n      | ^"},
		"document": {file: "http: {}\n---\nhttp: {}\n", want: "CONFIG:2:1: a second document begins here; one file holds one configuration: delete the line --- or what follows it\n    2 | ---\n      | ^"},
		"a list":   {file: "- a\n", want: "CONFIG:1:1: the file holds a list where keys are expected; begin with one of http, storage, cache or sparse, then a colon\n    1 | - a\n      | ^"},
		"a word":   {file: "a\n", want: "CONFIG:1:1: the file holds a single value where keys are expected; begin with one of http, storage, cache or sparse, then a colon\n    1 | a\n      | ^"},
		"syntax": {file: "storage: {s3: {secret_key: hush, secretkye: hush\n", want: `
CONFIG:1: is not valid YAML: did not find expected ',' or '}'; a { or [ is not closed
    1 | storage: {s3: {secret_key: ***, secretkye: ***`},
		"colon": {file: "http:\n  addr: a: b\n", want: `
CONFIG:2: is not valid YAML: mapping values are not allowed in this context; put quotes around a value that contains ": ", or check the indentation
    2 |   addr: a: b`},
		"anchor":      {file: "http: {addr: *x}\n", want: "CONFIG:1: is not valid YAML: unknown anchor 'x' referenced; put quotes around a value that begins with *\n    1 | http: {addr: *x}"},
		"second half": {file: "http: {}\n---\n{\n", want: "CONFIG:3: is not valid YAML: did not find expected node content\n    3 | {"},
	} {
		t.Run(name, func(t *testing.T) {
			file := "-"
			if c.file != "" {
				file = c.file
			}
			_, _, err := load(t, file, c.env...)
			got := ""
			var problems config.Problems
			if errors.As(err, &problems) {
				got = err.Error()
				if f := problems[0].Source.File; f != "" {
					got = strings.ReplaceAll(got, f, "CONFIG")
				}
			} else if err != nil {
				t.Fatalf("not a list of problems: %v", err)
			}
			if want := strings.TrimPrefix(c.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(got, "hush") {
				t.Error("a secret is shown")
			}
		})
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "image.img"), make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"":           "is a folder, not a file",
		"config.yml": "there is no such file; did you mean " + filepath.Join(dir, "config.yaml") + "?",
		"confg.yaml": "there is no such file; did you mean " + filepath.Join(dir, "config.yaml") + "?",
		"no/such":    "does not exist either",
		"else":       "check the path",
		"image.img":  "is larger than 1 MiB",
		"image.img/": "not a directory",
	} {
		_, err := config.Load(defaults(), config.Options{File: dir + "/" + name, Prefix: "X"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", name, err, want)
		}
	}
}
