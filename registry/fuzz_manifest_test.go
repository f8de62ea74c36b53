package registry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.yaml.in/yaml/v3"
)

// manifestSeeds are manifests, and what is none by one detail.
func manifestSeeds() []string {
	const e = `{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}`
	image := `{"schemaVersion":2,"mediaType":"` + v1.MediaTypeImageManifest + `","config":` + e + `,"layers":[` + e + `,` + e + `]}`
	index := `{"schemaVersion":2,"manifests":[` + e + `]}`
	with := func(manifest, field string) string { return manifest[:len(manifest)-1] + "," + field + "}" }
	return []string{
		image, index, `{"blobs":[` + e + `],"subject":` + e + `}`, `{"mediaType":"x","a":{"a":[1,{"a":2}]}}`,
		with(image, `"subject":`+e), with(image, `"annotations":{"a":"b"}`), with(image, `"manifests":[]`), with(image, `"Manifests":[]`), with(image, `"layers":[]`),
		with(image, `"\u006cayers":[]`), with(image, `"layer\u017f":[]`), with(image, `"fsLayers":[]`), with(index, `"config":`+e), with(index, `"layers":null`),
		with(image, `"x":{"a":1,"a":2}`), with(image, `"x":1e999`), with(image, `"x":`+strings.Repeat("9", 400)), with(image, `"x":`+strings.Repeat("[", 70)+strings.Repeat("]", 70)),
		strings.Replace(image, `"size":0`, `"size":0.0`, 1), strings.Replace(image, `"size":0`, `"size":1e3`, 1), strings.Replace(image, `"size":0`, `"size":0,"Size":1`, 1),
		strings.Replace(image, "sha256:", "SHA256:", 1), strings.Replace(image, "e3b0", "E3B0", 1), image + image, image + " \n", "\ufeff" + image, image[1:], "[" + image + "]", "null", "{}", "",
	}
}

// FuzzManifest: whatever is taken, every reader understands in the same way. What the registry has read is compared with what a reader of other
// habits reads: one that tells large letters from small ones, and one that refuses a key that is there twice (JSON is
// YAML, and that is how YAML is read).
func FuzzManifest(f *testing.F) {
	for _, seed := range manifestSeeds() {
		for _, mediaType := range []string{v1.MediaTypeImageManifest, v1.MediaTypeImageIndex, MediaTypeDockerManifest, mediaTypeOCIArtifact, "application/json", ""} {
			f.Add(mediaType, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		few := bytes.Count(body, []byte("{"))+bytes.Count(body, []byte("[")) < maxNesting
		got, want := checkKeys(body), walkKeys(body)
		bounded := got != nil && strings.Contains(got.Error(), "long list") // which walkKeys has no bound for
		if (got == nil) != (want == nil) && few && !bounded && utf8.Valid(body) {
			t.Errorf("%s: %v, and %v token by token", body, got, want)
		}
		mediaType := manifestType(contentType, body)
		c, err := parseManifest(mediaType, body)
		if err != nil {
			if !HasCode(err, ManifestInvalid) {
				t.Errorf("error %v has another code", err)
			}
			return
		}
		if strings.ContainsAny(mediaType, "\r\n") {
			t.Errorf("media type %q", mediaType)
		}
		for _, d := range append(c.needed(), c.children()...) {
			if !validDigest(d.String()) {
				t.Errorf("digest %q got through", d)
			}
		}
		if c.isIndex && len(c.needed()) > 0 || !c.isIndex && len(c.children()) > 0 {
			t.Errorf("an index and an image at once: %s", body)
		}
		var all map[string]json.RawMessage
		must(t, json.Unmarshal(body, &all))
		if want := exactly(all["config"], all["layers"], all["blobs"], all["manifests"]); !slices.Equal(everyDigest(c), want) {
			t.Errorf("%s: read %q, others read %q", body, everyDigest(c), want)
		}
		if twice := keyTwice(body); twice != nil {
			t.Errorf("%s: %v", body, twice)
		}
		if again := readContent(body); !slices.Equal(again.children(), c.children()) {
			t.Errorf("%s: children %q when it is read again, not %q", body, again.children(), c.children())
		}
	})
}

// everyDigest are the digests that c names, those of subjects left out.
func everyDigest(c *content) (all []string) {
	for _, d := range slices.Concat([]*descriptor{c.Config}, c.Layers, c.Blobs, c.Manifests) {
		if d != nil {
			all = append(all, string(d.Digest))
		}
	}
	return all
}

// exactly are the values of "digest", written just so, in descriptors and lists of them.
func exactly(fields ...json.RawMessage) (all []string) {
	for _, field := range fields {
		var list []map[string]any
		var one map[string]any
		if json.Unmarshal(field, &one) == nil && one != nil {
			list = append(list, one)
		} else if json.Unmarshal(field, &list) != nil {
			continue
		}
		for _, d := range list {
			text, _ := d["digest"].(string)
			all = append(all, text)
		}
	}
	return all
}

// keyTwice is what a reader of YAML says of a key that is there twice, nil if it says nothing of that.
func keyTwice(body []byte) error {
	var any map[string]any
	err := yaml.Unmarshal(body, &any)
	if err != nil && strings.Contains(err.Error(), "already defined") {
		return err
	}
	return nil
}

// FuzzManifestRecord: a manifest comes back from the store as it was pushed, or not at all.
func FuzzManifestRecord(f *testing.F) {
	for _, body := range []string{"{}", "\n{\n}\n\n", "{\"a\": \"\u00e9\"}", "", "\x00"} {
		m := &Manifest{Digest: digest.FromString(body), MediaType: "x/y", Body: []byte(body), Pushed: time.Unix(1, 0).UTC(), id: nonce()}
		b, err := m.encode()
		if err != nil {
			f.Fatal(err)
		}
		head, _, _ := bytes.Cut(b, []byte("\n"))
		f.Add(head, []byte(body))
		f.Add(bytes.Replace(head, []byte(`"size":`), []byte(`"size":1`), 1), []byte(body))
		f.Add(head[:len(head)-1], []byte(body))
	}
	f.Add([]byte(`{"size":2,"mediaType":"a\r\nb: c"}`), []byte("{}"))
	f.Fuzz(func(t *testing.T, head, body []byte) {
		stored := slices.Concat(head, []byte("\n"), body)
		if _, err := decodeManifest(digest.FromBytes(append(body, ' ')), stored); err == nil {
			t.Error("a manifest of another digest was let through")
		}
		m, err := decodeManifest(digest.FromBytes(body), stored)
		if err != nil {
			return
		}
		if !bytes.Equal(m.Body, body) {
			t.Fatalf("%q came back as %q", body, m.Body)
		}
		again, err := m.encode()
		must(t, err)
		got, err := decodeManifest(m.Digest, again)
		must(t, err)
		if !bytes.Equal(got.Body, body) || got.MediaType != m.MediaType || got.id != m.id || !got.Pushed.Equal(m.Pushed) {
			t.Errorf("%+v became %+v", m, got)
		}
	})
}

func walkKeys(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	t, err := dec.Token()
	if err != nil {
		return fmt.Errorf("is not JSON: %v", err)
	}
	if t != json.Delim('{') {
		return fmt.Errorf("is not a JSON object")
	}
	if err := walkObject(dec, 1, true); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("goes on after its end")
	}
	return nil
}

// walkObject reads an object to its end. ours says that its keys are the format's, not anybody's.
func walkObject(dec *json.Decoder, depth int, ours bool) error {
	seen := map[string]bool{}
	for {
		t, err := dec.Token()
		if err != nil {
			return fmt.Errorf("is not JSON: %v", err)
		}
		if t == json.Delim('}') {
			return nil
		}
		key, _ := t.(string)
		if seen[key] {
			return fmt.Errorf("has the key %q twice in one object", key)
		}
		seen[key] = true
		below := false
		for _, k := range keysOfUs {
			if !ours || !strings.EqualFold(k, key) {
				continue
			}
			if k != key {
				return fmt.Errorf("has the key %q, which has to be written %q", key, k)
			}
			below = k != "annotations" && k != "platform"
		}
		if t, err = dec.Token(); err != nil {
			return fmt.Errorf("is not JSON: %v", err)
		}
		if err := walkValue(dec, t, depth, below); err != nil {
			return err
		}
	}
}

// walkValue reads the rest of the value that begins with t.
func walkValue(dec *json.Decoder, t json.Token, depth int, ours bool) error {
	if depth >= maxNesting {
		return fmt.Errorf("is nested more than %d deep", maxNesting)
	}
	switch t {
	case json.Delim('{'):
		return walkObject(dec, depth+1, ours)
	case json.Delim('['):
		for {
			t, err := dec.Token()
			if err != nil {
				return fmt.Errorf("is not JSON: %v", err)
			}
			if t == json.Delim(']') {
				return nil
			}
			if err := walkValue(dec, t, depth+1, ours); err != nil {
				return err
			}
		}
	}
	return nil
}
