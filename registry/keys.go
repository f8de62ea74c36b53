package registry

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// The layout of the store; docs/storage-format.md describes it.
const (
	formatKey       = "format"
	catalogPrefix   = "catalog/"
	catalogSuffix   = "-"
	uploadsPrefix   = "uploads/"
	dataPrefix      = "data/"
	condemnedPrefix = "condemned/"
	cancelledStep   = "cancelled"
	deletedOne      = "deleted/one/"
	deletedAll      = "deleted/all/"
	pulledSection   = "pulled/" // below repoPrefix
	uploadStepForm  = "%08d-%s" // steps sort by number; the random end keeps two replicas apart
)

func recordKey(d digest.Digest) string {
	return "blobs/" + string(d.Algorithm()) + "/" + d.Encoded()[:2] + "/" + d.Encoded()
}

func condemnedKey(d digest.Digest) string {
	return condemnedPrefix + string(d.Algorithm()) + "/" + d.Encoded()
}

func repoPrefix(repo string) string { return "repos/" + repo + "/_" }

func repoCondemnedKey(repo string) string { return repoPrefix(repo) + "condemned" }

func linkKey(repo string, d digest.Digest) string {
	return "repos/" + repo + "/_blobs/" + string(d.Algorithm()) + "/" + d.Encoded()
}

func manifestKey(repo string, d digest.Digest) string {
	return "repos/" + repo + "/_manifests/" + string(d.Algorithm()) + "/" + d.Encoded()
}

func tagsPrefix(repo string) string { return repoPrefix(repo) + "tags/" }

func tagKey(repo, tag string) string { return "repos/" + repo + "/_tags/" + tag }

// historyPrefix is followed by what historyEntry makes.
func historyPrefix(repo, tag string) string { return repoPrefix(repo) + "history/" + tag + "/" }

// deletedManifestKey is where a manifest is kept that was deleted by itself.
func deletedManifestKey(repo string, d digest.Digest) string {
	return repoPrefix(repo) + deletedOne + string(d.Algorithm()) + "/" + d.Encoded()
}

// deletedPrefix is where the manifests and links of a repository are kept that was deleted as a whole.
func deletedPrefix(repo string) string { return repoPrefix(repo) + deletedAll }

func referrersPrefix(repo string, subject digest.Digest) string {
	return repoPrefix(repo) + "referrers/" + string(subject.Algorithm()) + "/" + subject.Encoded() + "/"
}

func referrerKey(repo string, subject, d digest.Digest) string {
	return referrersPrefix(repo, subject) + digestElement(d)
}

func parentsPrefix(repo string, child digest.Digest) string {
	return repoPrefix(repo) + "parents/" + string(child.Algorithm()) + "/" + child.Encoded() + "/"
}

func parentKey(repo string, child, index digest.Digest) string {
	return parentsPrefix(repo, child) + digestElement(index)
}

// digestElement writes a digest as one element of a key, where ':' may not stand.
func digestElement(d digest.Digest) string { return string(d.Algorithm()) + "-" + d.Encoded() }

// maxDigestElement is the length of the longest, that of a sha512.
const maxDigestElement = 7 + 128

func parseDigestElement(s string) (digest.Digest, error) {
	algorithm, encoded, _ := strings.Cut(s, "-")
	return ParseDigest(algorithm + ":" + encoded)
}

// catalogKey ends in '-': no name does, and it sorts before whatever a longer name can go on with,
// so the keys have the order of the names. A name of the full length has no room for it, and needs none: no name is longer.
func catalogKey(repo string) string {
	if len(repo) == MaxName {
		return catalogPrefix + repo
	}
	return catalogPrefix + repo + catalogSuffix
}

// catalogName is the name in a key below catalogPrefix.
func catalogName(key string) string {
	return strings.TrimSuffix(strings.TrimPrefix(key, catalogPrefix), catalogSuffix)
}

// newDataKey names the place for the bytes of a new blob. The random part comes first, since
// S3 splits its load by prefix.
func newDataKey(now time.Time) string {
	d := nonce()
	return dataPrefix + d[:2] + "/" + now.UTC().Format(time.DateOnly) + "/" + d
}

// nonce returns 128 random bits in hex.
func nonce() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
