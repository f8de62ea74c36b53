package config_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/config"
)

type secret string

func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

type httpSection struct {
	Addr     string         `yaml:"addr" doc:"where to listen"`
	Trusted  []netip.Prefix `yaml:"trusted_proxies"`
	Timeout  time.Duration  `yaml:"header_timeout" min:"1s" max:"1h"`
	Insecure bool
}

type disk struct {
	Root       string `yaml:"root"`
	Durability string `yaml:"durability" enum:"full,fast"`
}

func (d disk) Validate() error {
	if d.Root == "" {
		return errorf("root: required")
	}
	return nil
}

type bucket struct {
	Bucket    string
	AccessKey string
	SecretKey secret
	PartSize  int64 `unit:"bytes" min:"5MiB"`
	Workers   uint16
}

func (b bucket) Validate() error {
	var errs []error
	if b.Bucket == "" {
		errs = append(errs, errorf("s3.bucket: required"))
	}
	if b.SecretKey == "bad" {
		errs = append(errs, errorf("secret_key: too short"))
	}
	return join(errs...)
}

type settings struct {
	HTTP    httpSection  `yaml:"http"`
	Storage config.OneOf `yaml:"storage"`
	Cache   struct {
		Memory config.Size
	}
	Sparse []config.Glob
	hidden int
}

func defaults() *settings {
	s := &settings{HTTP: httpSection{Addr: ":5000", Timeout: time.Minute}}
	s.Cache.Memory = 64 << 20
	s.hidden = 1
	s.Storage = config.OneOf{Chosen: "fs", Among: []config.Alternative{
		{Name: "fs", Config: &disk{Root: "data", Durability: "full"}},
		{Name: "s3", Config: &bucket{PartSize: 16 << 20, Workers: 4}},
		{Name: "memory", Config: &struct{}{}},
	}}
	return s
}

// load writes the file, unless it is "-", and loads it with the given variables.
func load(t *testing.T, file string, env ...string) (*settings, []config.Key, error) {
	t.Helper()
	o := config.Options{
		Prefix: "LONGSHORE", Env: env,
		Ignore: func(name string) bool { return name == "LONGSHORE_TOOLS" },
		Hints:  map[string]string{"version": "that is of another registry: remove the line"},
	}
	if file != "-" {
		o.File = filepath.Join(t.TempDir(), "config.yml")
		if err := os.WriteFile(o.File, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := defaults()
	keys, err := config.Load(s, o)
	return s, keys, err
}

func TestLoadsFile(t *testing.T) {
	s, keys, err := load(t, "\ufeffhttp:\r\n  addr: 127.0.0.1:7\n  insecure: 'yes'\n  trusted_proxies: [10.1.2.3/8, \"::1\", '::ffff:1.2.3.4']\n"+
		"  header_timeout: 1m30s\nstorage:\n  s3:\n    bucket: 007\n    access_key: 1e10\n    secret_key: $${x}${SECRET}\n    part_size: 0.5 GiB\n    workers: 65535\n"+
		"sparse:\n- a/*\n- b/**\n", "SECRET=hush")
	if err != nil {
		t.Fatal(err)
	}
	got := *s.Storage.Config().(*bucket)
	if want := (bucket{Bucket: "007", AccessKey: "1e10", SecretKey: "${x}hush", PartSize: 512 << 20, Workers: 65535}); got != want {
		t.Errorf("storage: got %#v, want %#v", got, want)
	}
	want := httpSection{
		Addr: "127.0.0.1:7", Insecure: true, Timeout: 90 * time.Second,
		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("1.2.3.4/32")},
	}
	if !reflect.DeepEqual(s.HTTP, want) {
		t.Errorf("http: got %+v, want %+v", s.HTTP, want)
	}
	if !reflect.DeepEqual(s.Sparse, []config.Glob{"a/*", "b/**"}) {
		t.Errorf("sparse: got %q", s.Sparse)
	}
	shown := map[string]string{}
	for _, k := range keys {
		shown[k.Path] = k.Value + " from " + filepath.Base(k.Source.String())
	}
	for path, want := range map[string]string{
		"http.addr":             "127.0.0.1:7 from config.yml:2",
		"http.trusted_proxies":  "10.0.0.0/8,::1/128,1.2.3.4/32 from config.yml:4",
		"http.header_timeout":   "1m30s from config.yml:5",
		"storage":               "s3 from config.yml:7",
		"storage.s3.secret_key": "*** from config.yml:10",
		"storage.s3.part_size":  "512MiB from config.yml:11",
		"cache.memory":          "64MiB from default",
		"storage.s3.access_key": "1e10 from config.yml:9",
		"sparse":                "a/*,b/** from config.yml:14",
		"storage.fs.root":       "",
	} {
		if shown[path] != want {
			t.Errorf("%s: shown as %q, want %q", path, shown[path], want)
		}
	}
}

func TestLoadsEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("from a file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fsFile := "http: {addr: ':1'}\nstorage:\n  fs:\n    root: ${NOT_SET}\n"
	for name, c := range map[string]struct {
		file    string
		env     []string
		storage any
	}{
		"default":                        {"-", nil, disk{"data", "full"}},
		"comments only":                  {"# storage:\n", nil, disk{"data", "full"}},
		"empty section":                  {"storage:\n  fs:\n", nil, disk{"data", "full"}},
		"braces":                         {"{}", nil, disk{"data", "full"}},
		"by name":                        {"storage: memory\n", nil, struct{}{}},
		"by name in env":                 {"-", []string{"LONGSHORE_STORAGE=memory"}, struct{}{}},
		"key in env":                     {"-", []string{"LONGSHORE_STORAGE_FS_ROOT=/x"}, disk{"/x", "full"}},
		"env goes over the file":         {"storage: {fs: {root: a, durability: fast}}", []string{"LONGSHORE_STORAGE_FS_ROOT=/x"}, disk{"/x", "fast"}},
		"env replaces the file's driver": {fsFile, []string{"LONGSHORE_STORAGE_S3_BUCKET=b"}, bucket{Bucket: "b", PartSize: 16 << 20, Workers: 4}},
		"secret of a file":               {"-", []string{"LONGSHORE_STORAGE_S3_BUCKET=b", "LONGSHORE_STORAGE_S3_SECRET_KEY_FILE=" + file}, bucket{Bucket: "b", SecretKey: "from a file", PartSize: 16 << 20, Workers: 4}},
		"empty picks nothing":            {"-", []string{"LONGSHORE_STORAGE_S3_BUCKET=", "LONGSHORE_STORAGE_S3_WORKERS="}, disk{"data", "full"}},
		"the name decides":               {"-", []string{"LONGSHORE_STORAGE_S3_BUCKET=b", "LONGSHORE_STORAGE_FS_ROOT=/x", "LONGSHORE_STORAGE=fs"}, disk{"/x", "full"}},
		"what is not ours": {"-", []string{
			"LONGSHORE_SERVICE_HOST=10.0.0.1", "LONGSHORE_SERVICE_PORT=5000", "LONGSHORE_SERVICE_PORT_HTTP=5000", "LONGSHORE_PORT=tcp://10.0.0.1:5000",
			"LONGSHORE_PORT_5000_TCP=tcp://10.0.0.1:5000", "LONGSHORE_PORT_5000_TCP_PROTO=tcp", "LONGSHORE_PORT_5000_TCP_ADDR=10.0.0.1",
			"LONGSHORE_WEB_SERVICE_HOST=x", "LONGSHORE_HTTP_PORT=tcp://1.2.3.4:80", "LONGSHORE_TOOLS=x", "LONGSHOREMAN=x", "OTHER=1", "LONGSHORE=x", "broken",
		}, disk{"data", "full"}},
		"anchors": {"http: {header_timeout: &x 5s}\nstorage: {s3: {bucket: *x}}\n", nil, bucket{Bucket: "5s", PartSize: 16 << 20, Workers: 4}},
		"a variable of the file may begin like ours": {"storage: {fs: {root: '${LONGSHORE_MINE}'}}", []string{"LONGSHORE_MINE=/m"}, disk{"/m", "full"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, err := load(t, c.file, c.env...)
			if err != nil {
				t.Fatal(err)
			}
			if got := reflect.ValueOf(s.Storage.Config()).Elem().Interface(); got != c.storage {
				t.Errorf("got %#v, want %#v", got, c.storage)
			}
		})
	}
}

// TestEveryKeyFromEnvironment sets each key of the schema by its variable alone.
func TestEveryKeyFromEnvironment(t *testing.T) {
	samples := map[string]string{
		"text": "some text", "secret": "hush", "bool": "true", "number": "7", "duration": "7s", "size": "7MiB", "full or fast": "fast",
		"list of networks": "10.0.0.0/8, 192.0.2.1", "list of patterns": "a/*,b", "fs, s3 or memory": "memory",
	}
	keys, err := config.Keys(defaults(), "LONGSHORE")
	if err != nil {
		t.Fatal(err)
	}
	if len(keys) != 14 {
		t.Errorf("%d keys, want 14: %v", len(keys), keys)
	}
	for _, k := range keys {
		sample, known := samples[k.Type]
		if !known {
			t.Fatalf("%s: no sample for the type %q", k.Path, k.Type)
		}
		env := []string{k.Env + "=" + sample}
		if strings.HasPrefix(k.Path, "storage.s3.") && k.Path != "storage.s3.bucket" {
			env = append(env, "LONGSHORE_STORAGE_S3_BUCKET=b")
		}
		_, got, err := load(t, "-", env...)
		if err != nil {
			t.Errorf("%s: %v", k.Env, err)
		}
		found := false
		for _, g := range got {
			if g.Path == k.Path {
				found = true
				if g.Source.Env != k.Env || g.Value == k.Value {
					t.Errorf("%s: is %q from %s", k.Env, g.Value, g.Source)
				}
			}
		}
		if !found {
			t.Errorf("%s: not among the settings", k.Path)
		}
	}
}

func TestRejectsBadStructs(t *testing.T) {
	for name, into := range map[string]any{
		"not a pointer": settings{},
		"nil":           (*settings)(nil),
		"map":           &struct{ M map[string]any }{},
		"pointer":       &struct{ P *int }{},
		"min": &struct {
			D time.Duration `min:"never"`
		}{},
		"alternative": &struct{ O config.OneOf }{config.OneOf{Among: []config.Alternative{{Name: "x", Config: disk{}}}}},
	} {
		if _, err := config.Load(into, config.Options{Prefix: "X"}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
