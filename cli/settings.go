package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/registry"
)

// envPrefix begins the names of our environment variables.
const envPrefix = "LONGSHORE"

// settings is the whole configuration. Its tags are the reference: docs/configuration.md is made
// of them.
type settings struct {
	HTTP      httpSettings     `yaml:"http" doc:"How clients reach the registry."`
	TLS       tlsSettings      `yaml:"tls" doc:"The certificates of the port, which speaks TLS and plain HTTP; docs/tls.md explains it."`
	Access    accessSettings   `yaml:"access" doc:"Who may do what; docs/access.md explains it, with recipes."`
	Storage   config.OneOf     `yaml:"storage" doc:"Where the images are: one driver, with its settings below its name. In the environment, a setting of a driver picks that driver; the variable here picks one by name."`
	Delete    deleteSettings   `yaml:"delete" doc:"What clients may delete."`
	History   historySettings  `yaml:"history" doc:"What tags pointed at before, and what was deleted; docs/tags.md explains it."`
	Tags      tagSettings      `yaml:"tags" doc:"What may become of tags."`
	Manifests manifestSettings `yaml:"manifests" doc:"What is asked of manifests."`
	Limits    limitSettings    `yaml:"limits" doc:"How much a request may ask for."`
	Uploads   uploadSettings   `yaml:"uploads" doc:"Uploads that are under way."`
	Pulls     pullSettings     `yaml:"pulls" doc:"Blobs that clients download through the registry."`
	Cache     cacheSettings    `yaml:"cache" doc:"What is kept in memory. No answer depends on a cache being fresh."`
	Redirect  redirectSettings `yaml:"redirect" doc:"Whether clients download blobs from the store itself."`
	GC        gcSettings       `yaml:"gc" doc:"What is removed without a client's asking; docs/garbage-collection.md explains it."`
	Log       logSettings      `yaml:"log" doc:"What the program prints to stderr."`
}

type httpSettings struct {
	Addr             string         `yaml:"addr" doc:"Address and port to listen on. Without an address before the colon: on all of the machine's."`
	PublicURL        string         `yaml:"public_url" doc:"The URL under which clients know the registry, such as https://registry.example.com. It makes the Locations in answers absolute. Empty: they are relative, which works behind any proxy."`
	TrustedProxies   []netip.Prefix `yaml:"trusted_proxies" doc:"Networks or addresses of the proxies whose Forwarded and X-Forwarded-For headers count when a client's address is looked for, and whose X-Forwarded-Proto says whether it spoke TLS."`
	Plain            string         `yaml:"plain" enum:"auto,allow,loopback,redirect,refuse" doc:"What becomes of requests without TLS: they are answered (allow), if they were made on this machine (loopback), sent to https (redirect; GET and HEAD only), or refused. auto: allow while everybody may do everything, loopback once the registry asks for passwords. What a trusted proxy has got over TLS counts as TLS."`
	HeaderTimeout    time.Duration  `yaml:"header_timeout" min:"100ms" doc:"How long a client may take to send the header of a request, and for a TLS handshake."`
	IdleTimeout      time.Duration  `yaml:"idle_timeout" min:"100ms" doc:"How long a request body or an answer may make no progress. There is no limit on a request's whole time: a layer may take an hour."`
	KeepaliveTimeout time.Duration  `yaml:"keepalive_timeout" min:"1s" doc:"How long a connection is kept open for the next request. It has to be longer than that of a proxy in front, which otherwise meets closed connections."`
	ShutdownGrace    time.Duration  `yaml:"shutdown_grace" doc:"How long requests that are under way may go on after SIGTERM or SIGINT."`
}

type deleteSettings struct {
	Enabled       bool `yaml:"enabled" doc:"Tags, manifests and blobs can be deleted. Otherwise DELETE is answered with 405."`
	Repositories  bool `yaml:"repositories" doc:"DELETE /v2/<name>/ removes a whole repository."`
	IndexChildren bool `yaml:"index_children" doc:"A manifest can be deleted although an index in its repository names it."`
}

type historySettings struct {
	Keep time.Duration `yaml:"keep" doc:"How long is kept what a tag pointed at before, and what was deleted, so that it can be restored. Collections free its space after that. 0: nothing is kept."`
}

type tagSettings struct {
	Immutable []immutableRule `yaml:"immutable" doc:"Tags that can neither be pointed elsewhere nor deleted, once they are there. Each rule is a pattern for repositories and, if not all tags of these are meant, tags=REGEX, such as releases/** tags=^v[0-9]. A push of another image, and a DELETE, are answered with 403."`
}

type manifestSettings struct {
	SparseIndexes []config.Glob `yaml:"sparse_indexes" doc:"Repositories in which an index may name manifests that are not there. A * stands for anything but a slash, ** for anything."`
}

type limitSettings struct {
	Manifest   config.Size `yaml:"manifest" min:"64KiB" max:"64MiB" doc:"Size of a manifest. The OCI specification asks for 4MiB at least."`
	TagsPerPut int         `yaml:"tags_per_put" min:"1" max:"1000" doc:"Tags that one PUT of a manifest may set."`
	Page       int         `yaml:"page" min:"1" max:"10000" doc:"Entries on a page of tags or repositories: what a client gets that names no number, and the most that it can ask for."`
	MinChunk   config.Size `yaml:"min_chunk" max:"1GiB" doc:"Announced to clients as OCI-Chunk-Min-Length. 0: not announced."`
}

type uploadSettings struct {
	Life   time.Duration `yaml:"life" min:"1m" max:"24h" doc:"How long an upload can be continued after it began."`
	Memory config.Size   `yaml:"memory" min:"1MiB" doc:"The bytes of all small uploads that are held in memory at once. What does not fit is streamed to the store in parts."`
}

type pullSettings struct {
	Memory config.Size `yaml:"memory" doc:"The bytes of all large blobs together that are fetched ahead of clients who are faster than one connection to the store, in pieces of 4MiB to 8MiB on up to four connections. A client who finds none left gets the blob as one connection brings it. 0: nothing is fetched ahead."`
}

type cacheSettings struct {
	Memory config.Size `yaml:"memory" min:"1MiB" doc:"Bytes of manifests and records that are kept in memory."`
}

type redirectSettings struct {
	Enabled  bool           `yaml:"enabled" doc:"A GET of a blob is answered with a signed URL of the store, if the driver can make one. Clients have to reach the store under the address that the registry uses."`
	Networks []netip.Prefix `yaml:"networks" doc:"Only clients from these networks or addresses are redirected. Empty: all."`
	MinSize  config.Size    `yaml:"min_size" min:"1" doc:"Smaller blobs are served by the registry."`
	Life     time.Duration  `yaml:"life" min:"1m" max:"168h" doc:"How long a signed URL is good for."`
}

type gcSettings struct {
	Interval   time.Duration   `yaml:"interval" doc:"How long after one collection serve begins the next; one of all replicas does. 0: never, then run longshore gc."`
	Grace      time.Duration   `yaml:"grace" doc:"How long what nothing refers to is kept. At least uploads.life and 24h."`
	Untagged   time.Duration   `yaml:"untagged" doc:"How long ago a manifest has to have been pushed before it is removed if no tag leads to it, directly or through an index or a subject. 0: it stays."`
	Retention  []retentionRule `yaml:"retention" doc:"Which tags are removed. Each rule is a pattern for repositories and words: tags=REGEX are those that it may remove (without: all); last=N, younger=TIME, pulled=TIME and always=REGEX keep some of them. Times may be in days, such as 30d. The first rule for a repository counts."`
	ListingLag time.Duration   `yaml:"listing_lag" doc:"How long a listing may miss what was written, on stores where listings lag. It is added to grace, and each step waits that long. 0: 2m on swift, otherwise none."`
	Sole       bool            `yaml:"sole" doc:"On a store without put-if-absent and put-if-match: only this process ever collects. Set it for one replica only, or for the job that runs longshore gc."`
	Memory     config.Size     `yaml:"memory" min:"1MiB" doc:"The bytes that the digests of all linked blobs may take during a collection, 8 for each blob. What does not fit costs another listing."`
}

type logSettings struct {
	Level  string `yaml:"level" enum:"debug,info,warn,error" doc:"The least important kind of line to print."`
	Format string `yaml:"format" enum:"auto,text,json" doc:"Lines for people, or one JSON object a line. auto: text on a terminal, otherwise JSON. NO_COLOR is heeded."`
}

// defaultSettings are the settings of a user who says nothing. All defaults are here and in the
// Defaults of the drivers.
func defaultSettings(all []driver) *settings {
	s := &settings{
		HTTP: httpSettings{
			Addr:             ":5000",
			Plain:            "auto",
			HeaderTimeout:    10 * time.Second,
			IdleTimeout:      time.Minute,
			KeepaliveTimeout: 2 * time.Minute,
			ShutdownGrace:    30 * time.Second,
		},
		TLS:      tlsSettings{Enabled: true, Life: 90 * 24 * time.Hour, Clients: clientSettings{Mode: "request"}, MinVersion: "1.2"},
		Access:   defaultAccess(),
		Storage:  config.OneOf{Chosen: "fs"},
		Delete:   deleteSettings{Enabled: true},
		History:  historySettings{Keep: 720 * time.Hour},
		Limits:   limitSettings{Manifest: 4 << 20, TagsPerPut: 100, Page: 1000},
		Uploads:  uploadSettings{Life: 24 * time.Hour, Memory: 64 << 20},
		Pulls:    pullSettings{Memory: 64 << 20},
		Cache:    cacheSettings{Memory: 64 << 20},
		Redirect: redirectSettings{MinSize: 64 << 10, Life: 20 * time.Minute},
		GC:       gcSettings{Interval: 24 * time.Hour, Grace: 48 * time.Hour, Memory: 64 << 20},
		Log:      logSettings{Level: "info", Format: "auto"},
	}
	for _, d := range all {
		s.Storage.Among = append(s.Storage.Among, d.Alternative)
	}
	return s
}

// Validate looks at what sections say of each other.
func (s settings) Validate() error {
	if least := registry.LeftoverAge(s.Uploads.Life); s.GC.Grace < least {
		return fmt.Errorf("gc.grace: %v is too short: uploads live for %v (uploads.life), and what began in their last minute may go on, so give %v or more", s.GC.Grace, s.Uploads.Life, least)
	}
	return nil
}

// Validate looks at what the types of the fields don't say.
func (h httpSettings) Validate() error {
	return errors.Join(validAddr(h.Addr), validPublicURL(h.PublicURL))
}

func validAddr(addr string) error {
	if strings.Contains(addr, "://") {
		return fmt.Errorf(`addr: %q is a URL; write host:port, such as 127.0.0.1:5000 (the URL for clients is public_url)`, addr)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		if _, e := strconv.ParseUint(addr, 10, 16); e == nil {
			return fmt.Errorf("addr: %q is a port without a colon; write :%s", addr, addr)
		}
		if ip, e := netip.ParseAddr(strings.Trim(addr, "[]")); e == nil {
			return fmt.Errorf("addr: %q has no port; write %s", addr, net.JoinHostPort(ip.String(), "5000"))
		}
		return fmt.Errorf("addr: %q is not host:port; write :5000 or 127.0.0.1:5000", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("addr: %q: the port has to be a number up to 65535; write %s", addr, net.JoinHostPort(host, "5000"))
	}
	return nil
}

func validPublicURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("public_url: %q is not a URL such as https://registry.example.com", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return fmt.Errorf("public_url: %q has more than scheme, host and port; clients expect /v2/ at the root", text)
	}
	return nil
}

// loaded is a configuration that was read without a fault.
type loaded struct {
	*settings
	keys   []config.Key // what counts now, with its source
	driver driver       // the one that was chosen
	file   string       // "" for none
}

// load reads the configuration from the file, if one is named, and the environment. What is wrong with
// it is a config.Problems.
func (p program) load(args []string) (loaded, error) {
	all, err := p.drivers()
	if err != nil {
		return loaded{}, err
	}
	l := loaded{settings: defaultSettings(all)}
	if len(args) > 0 {
		l.file = args[0]
	}
	l.keys, err = config.Load(l.settings, config.Options{
		File: l.file, Env: p.env, Prefix: envPrefix, Ignore: foreignVariable, Hints: hints(),
	})
	if err != nil {
		return loaded{}, err
	}
	for _, d := range all {
		if d.Name == l.Storage.Chosen {
			l.driver = d
		}
	}
	return l, nil
}

// foreignVariable reports whether a variable with our prefix belongs to the tests.
func foreignVariable(name string) bool {
	return name == "LONGSHORE_TOOLS" || name == "LONGSHORE_CONFORMANCE_CHILD" || strings.HasPrefix(name, "LONGSHORE_TEST_")
}

// hints answer the keys that people bring from CNCF distribution's configuration.
func hints() map[string]string {
	return map[string]string{
		"version":                  "it belongs to registry:2 and registry:3; remove the line",
		"loglevel":                 "did you mean log.level?",
		"auth":                     "did you mean access? auth.htpasswd.path is access.htpasswd.file, auth.token is access.token",
		"log.formatter":            "did you mean format?",
		"http.host":                "did you mean public_url?",
		"http.secret":              "remove it: all replicas find the secret in the store",
		"http.relativeurls":        "remove it: locations are relative unless public_url is set",
		"storage.filesystem":       "did you mean fs, with root for rootdirectory?",
		"storage.inmemory":         "did you mean memory?",
		"storage.delete":           "did you mean delete at the top level?",
		"storage.redirect":         "did you mean redirect at the top level?",
		"storage.cache":            "remove it, or did you mean cache at the top level?",
		"storage.maintenance":      "remove it: there is nothing to purge",
		"storage.fs.rootdirectory": "did you mean root?",
	}
}
