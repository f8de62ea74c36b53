package api

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/longshore-registry/longshore/access"
)

// Options are the settings of the HTTP API. The zero value of each field means its default.
type Options struct {
	// PublicURL, such as "https://registry.example.com", makes the Locations in answers absolute.
	// Default: Locations are relative, which works behind any proxy.
	PublicURL string

	// TrustedProxies are the networks whose Forwarded and X-Forwarded-For headers count when a client's
	// address is looked for. Default: none.
	TrustedProxies []netip.Prefix

	// IdleTimeout is how long a request body or an answer may make no progress. There is no
	// limit on a request's whole time. Default 60 s.
	IdleTimeout time.Duration

	// MaxTags is the number of tag parameters that one manifest PUT may have. Default 100.
	MaxTags int

	// PageSize is the number of entries on a page of tags or repositories when the client names
	// none, and MaxPageSize the most that it gets. Defaults 1000 and 1000.
	PageSize, MaxPageSize int

	// MinChunk is announced as OCI-Chunk-Min-Length, in bytes. Default 0: not announced.
	MinChunk int64

	// NoDelete answers every DELETE of tags, manifests and blobs with 405.
	NoDelete bool

	// DeleteRepositories allows DELETE /v2/<name>/.
	DeleteRepositories bool

	// DeleteChildren allows DELETE of a manifest that an index in the repository names.
	DeleteChildren bool

	// Redirect says whether a GET of a blob is answered with a signed URL of the store.
	Redirect Redirect

	// Access says who may do what. Nil: nobody is asked who he is, and everybody may do everything.
	Access *access.Control

	// Tokens answers /token, where clients fetch bearer tokens. Nil: there is no such path.
	Tokens TokenServer

	// Challenge is how clients without credentials are asked for them.
	Challenge Challenge

	// Rate bounds the requests of a client, where Access is set.
	Rate Rate

	// Log gets a line for each request and each failure. Default slog.Default().
	Log *slog.Logger
}

// TokenServer answers the token endpoint; token.Server is one. The errors are those of access.Control.Identify.
type TokenServer interface {
	Answer(ctx context.Context, call access.TokenCall) (access.TokenAnswer, error)
}

// Challenge is the WWW-Authenticate of an answer of 401.
type Challenge struct {
	Basic bool // ask for names and passwords at each request; default: for bearer tokens

	// Realm is the URL where bearer tokens are fetched. Default: /token of PublicURL or, without one, of the host and scheme that the client
	// used.
	Realm string

	// Service is the name of this registry for who issues tokens. Default: the host of PublicURL or, without one, the one that the
	// client used.
	Service string
}

// Rate is how many requests an account, and an address, may make. What is more is answered with 429.
type Rate struct {
	PerSecond float64 // 0: any number
	Burst     int     // how many may come at once; at least 1
}

// Redirect says which blob GETs are sent to the store itself. HEAD never is: a signed URL is good for one method.
type Redirect struct {
	Enabled  bool
	Networks []netip.Prefix // only clients from these; empty: all
	MinSize  int64          // blobs smaller than this, in bytes, are served directly. Default 64 KiB
	Life     time.Duration  // of the URL. Default 20 min
}
