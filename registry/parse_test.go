package registry

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestCheckKeys(t *testing.T) {
	for _, ok := range []string{`{}`, `{"a":1,"b":{"a":1,"A":2}}`, `{"annotations":{"Size":"1","size":"2"}}`, `{"x":{"Digest":1}}`, `{"a":1,"A":2}`, ` {"a":[{"x":1},{"x":2}]} `, `{"a":"b","b":"a"}`} {
		if err := checkKeys([]byte(ok)); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for _, bad := range []string{``, `[]`, `"x"`, `null`, `1`, `{`, `{}{}`, `{"a":1,"a":2}`, `{"x":[{"a":1,"a":2}]}`, `{"Layers":[]}`, `{"layer\u017f":[]}`, `{"config":{"Digest":1}}`, `{"layers":[{"digest":1,"digest":2}]}`, `{"layers":[],"Layers":[]}`, `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`} {
		if err := checkKeys([]byte(bad)); err == nil {
			t.Errorf("%.40s was let through", bad)
		}
	}
}

func TestManifestRoundTrip(t *testing.T) {
	for _, body := range []string{"{}", "\n{\n}\n\n", "{\"a\": \"\u00e9\"}"} {
		d := digest.FromString(body)
		m := &Manifest{Digest: d, MediaType: "x/y", Body: []byte(body), Pushed: time.Unix(1, 0).UTC(), id: nonce()}
		b, err := m.encode()
		must(t, err)
		got, err := decodeManifest(d, b)
		must(t, err)
		if !bytes.Equal(got.Body, m.Body) || got.MediaType != m.MediaType || got.id != m.id {
			t.Errorf("got %+v", got)
		}
		if _, err := decodeManifest(d, append(b, ' ')); err == nil {
			t.Error("changed content was let through")
		}
	}
}

func TestNames(t *testing.T) {
	good := []string{"a", "a__b", "a--b", "a---b", "a.b", "a/b/c", "0", "a-b_c.d/e", strings.Repeat("a", 255)}
	bad := []string{"", "a___b", "a..b", "a._b", "-a", "a-", "A", "a//b", "/a", "a/", strings.Repeat("a", 256), "a/_b", "a b", "é", "a/../b", "a%2Fb"}
	for _, name := range good {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range bad {
		if err := CheckName(name); !HasCode(err, NameInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}
