package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/memory"
)

// FuzzKeys makes all keys of a name, a tag and two digests: whatever was let through stays in its folder, and can be read back.
func FuzzKeys(f *testing.F) {
	d := digest.FromString("x").String()
	d512 := digest.SHA512.FromString("x").String()
	for _, name := range []string{"a", "a/b/c", "library/ubuntu", "a__b--c.d", "../x", "a/../../b", "a//b", "/a", "a/", "a\x00b", "a%2fb", "A", "é", "_blobs", "a/_tags/b", strings.Repeat("a", 255), strings.Repeat("a/", 127) + "a", strings.Repeat("a", 256)} {
		f.Add(name, "latest", d, d512)
	}
	for _, tag := range []string{"_", ".x", "-x", "..", "a/b", "a\n", "v1.2-rc_3", "~", strings.Repeat("a", 128), strings.Repeat("a", 129)} {
		f.Add("a", tag, d, "sha256:"+strings.Repeat("0", 128))
	}
	for _, text := range []string{"", ":", "sha256", "sha256:", strings.ToUpper(d), "sha512:" + d[7:], "SHA256:" + d[7:], "sha256:../../../format", "md5:00", d + "\n", "sha256-" + d[7:], "sha256:sha256:" + d[7:]} {
		f.Add("a", "b", text, d)
	}
	digests := regexp.MustCompile(`^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$`)
	hasLineEnd := func(s string) bool { return strings.HasSuffix(s, "\n") } // $ passes over one
	f.Fuzz(func(t *testing.T, name, tag, first, second string) {
		nameErr, tagErr := CheckName(name), CheckTag(tag)
		if got, want := nameErr == nil, nameGrammar.MatchString(name) && !hasLineEnd(name) && len(name) <= MaxName; got != want {
			t.Fatalf("name %q: %v, want %t", name, nameErr, want)
		}
		if got, want := tagErr == nil, tagGrammar.MatchString(tag) && !hasLineEnd(tag); got != want {
			t.Fatalf("tag %q: %v, want %t", tag, tagErr, want)
		}
		var all []digest.Digest
		for _, text := range []string{first, second} {
			d, err := ParseDigest(text)
			if got, want := err == nil, digests.MatchString(text) && !hasLineEnd(text); got != want || got && string(d) != text {
				t.Fatalf("digest %q: %q, %v, want %t", text, d, err, want)
			}
			if err != nil && !HasCode(err, DigestInvalid) {
				t.Fatalf("digest %q: %v has another code", text, err)
			}
			if err == nil {
				all = append(all, d)
			}
		}
		if nameErr != nil || tagErr != nil || len(all) < 2 {
			return
		}
		within := "repos/" + name + "/_"
		for key, folder := range map[string]string{
			recordKey(all[0]): "blobs/", condemnedKey(all[0]): "condemned/", catalogKey(name): catalogPrefix,
			linkKey(name, all[0]): within + "blobs/", manifestKey(name, all[0]): within + "manifests/", tagKey(name, tag): within + "tags/",
			referrerKey(name, all[0], all[1]): within + "referrers/", parentKey(name, all[0], all[1]): within + "parents/", repoCondemnedKey(name): within,
		} {
			if err := drivers.CheckKey("test", "fuzz", key); err != nil && len(key) <= drivers.MaxKey {
				t.Errorf("%v", err)
			}
			if !strings.HasPrefix(key, folder) {
				t.Errorf("%q is not in %q", key, folder)
			}
		}
		if got := catalogName(catalogKey(name)); got != name {
			t.Errorf("the catalogue has %q for %q", got, name)
		}
		for _, d := range all {
			if got, err := parseDigestElement(digestElement(d)); err != nil || got != d {
				t.Errorf("%s is read back as %s, %v", d, got, err)
			}
		}
	})
}

func sampleSession() session {
	return session{
		ID: newUUID(), Repo: "a/b", Algorithm: digest.SHA512, Born: time.Unix(1700000000, 0), Step: 3, Offset: 1 << 40,
		Data: newDataKey(time.Unix(1700000000, 0)), Hash: []byte("hash"), Writer: []byte("writer"), Kept: "00000001-ab",
	}
}

// FuzzSession: what is read is written back the same, byte for byte, and holds nothing that could lead out of its folder.
func FuzzSession(f *testing.F) {
	s := sampleSession()
	f.Add(s.encode())
	short := s.short("00000007-00ff00ff")
	f.Add(short.encode())
	f.Add((&session{ID: "x", Repo: "a", Algorithm: digest.SHA256}).encode())
	for _, bad := range []session{
		{ID: "x", Repo: "../a", Algorithm: digest.SHA256}, {ID: "x/../y", Repo: "a", Algorithm: digest.SHA256}, {ID: "x", Repo: "a", Algorithm: "md5"},
		{ID: "x", Repo: "a", Algorithm: digest.SHA256, Data: "blobs/x"}, {ID: "x", Repo: "a", Algorithm: digest.SHA256, Data: "data/../format"},
		{ID: "x", Repo: "a", Algorithm: digest.SHA256, Kept: "../../format"}, {ID: "x", Repo: "a", Algorithm: digest.SHA256, Offset: -1},
	} {
		f.Add(bad.encode())
		if _, err := decodeSession(bad.encode()); err == nil {
			f.Errorf("%+v was let through", bad)
		}
	}
	f.Add([]byte{sessionVersion})
	f.Add([]byte{sessionVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSession(b)
		if err != nil {
			return
		}
		if again := s.encode(); !bytes.Equal(again, b) {
			t.Errorf("%x is read as %+v and written as %x", b, s, again)
		}
		if !nameGrammar.MatchString(s.Repo) || strings.Contains(s.ID+s.Kept, "/") || s.Offset < 0 ||
			s.Data != "" && (!strings.HasPrefix(s.Data, "data/") || strings.Contains(s.Data+"/", "/../")) {
			t.Errorf("%+v was let through", s)
		}
		if h, err := s.hasher(); err == nil {
			h.Write([]byte("x")) // a state that was taken has to work
			h.Sum(nil)
		}
	})
}

// FuzzLocation: of all texts, those that sign wrote are taken, and no other.
func FuzzLocation(f *testing.F) {
	r, other := &Registry{secret: []byte("a secret of the cluster")}, &Registry{secret: []byte("the secret of another")}
	s := sampleSession()
	value := r.sign(&s)
	f.Add(value)
	for _, text := range []string{
		"", "=", value + "=", value + "A", value[:len(value)-1], value[1:], value[:40] + "\n" + value[40:], value + "\r\n", " " + value,
		strings.ToUpper(value), other.sign(&s), value + value, "../../format", "%2e%2e", value[:len(value)-1] + "~", "\x00",
	} {
		f.Add(text)
	}
	last := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range last { // the bits after the last byte
		f.Add(value[:len(value)-1] + last[i:i+1])
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := r.verify(text)
		if err != nil {
			if !errors.Is(err, errSession) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if again := r.sign(&got); again != text {
			t.Errorf("%q is taken for %q", text, again)
		}
		if _, err := other.verify(text); err == nil {
			t.Errorf("%q is signed with two secrets", text)
		}
	})
}

// FuzzRecords reads small objects of the store: what is taken can be used, anything else is damage.
func FuzzRecords(f *testing.F) {
	d := digest.FromString("x")
	for _, body := range []any{
		blobRecord{Size: 1, Data: newDataKey(time.Now())}, blobRecord{Size: -1, Data: "data/x"}, blobRecord{Size: 1, Data: "../format"}, blobRecord{},
		tagRecord{Digest: d, MediaType: "a/b", Size: 1, Pushed: time.Unix(1, 0).UTC(), By: "me", Manifest: nonce()}, tagRecord{Digest: "sha256:x"},
		announcement{By: "me", Until: time.Unix(1, 0).UTC()}, map[string]any{"until": "yesterday"}, map[string]any{"until": "9999-12-31T23:59:59Z"},
		map[string]any{"digest": d, "size": 1, "annotations": map[string]string{"a": "b"}}, map[string]any{"digest": d, "size": -1},
		format{Version: formatVersion, Secret: []byte(nonce())}, format{Version: formatVersion, Secret: []byte("short")}, format{Version: formatVersion + 1}, format{Version: -1},
		nil, 1, "x", []int{}, map[string]any{"Size": 1, "DATA": "data/x", "Digest": d},
	} {
		b, err := json.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(b, ' ', '{', '}'))
	}
	f.Add([]byte{})
	f.Add([]byte("\xff\xfe"))
	f.Fuzz(func(t *testing.T, body []byte) {
		const key = "a/key"
		damaged := func(what string, err error) {
			if err != nil && !errors.Is(err, drivers.ErrCorrupt) {
				t.Errorf("%s: %v is no damage", what, err)
			}
		}
		record, err := decodeRecord(key, body)
		damaged("record", err)
		if err == nil {
			if record.Size < 0 || drivers.CheckKey("test", "fuzz", record.Data) != nil {
				t.Errorf("record %+v", record)
			}
			comesBack(t, record, func(b []byte) (blobRecord, error) { return decodeRecord(key, b) })
		}
		tag, err := decodeTag(key, body)
		damaged("tag", err)
		if err == nil {
			if !validDigest(string(tag.Digest)) {
				t.Errorf("tag %+v", tag)
			}
			comesBack(t, tag, func(b []byte) (tagRecord, error) { return decodeTag(key, b) })
		}
		a, err := decodeAnnouncement(key, body)
		damaged("announcement", err)
		if err == nil {
			comesBack(t, a, func(b []byte) (announcement, error) { return decodeAnnouncement(key, b) })
		}
		if f, err := decodeFormat(body); err == nil && (f.Version != formatVersion || len(f.Secret) < leastSecret) {
			t.Errorf("format %+v", f)
		}
		entry := referrerKey("a", d, d)
		referrer, err := decodeReferrer(entry, body)
		damaged("referrer", err)
		if err == nil && (referrer.Digest != d || referrer.Size < 0) {
			t.Errorf("referrer %+v", referrer)
		}
	})
}

// FuzzElements reads the last elements of keys: what is taken is written back the same.
func FuzzElements(f *testing.F) {
	d := digest.FromString("x")
	for _, text := range []string{
		"", "-", digestElement(d), digestElement(digest.SHA512.FromString("x")), strings.ToUpper(digestElement(d)), "sha256:" + d.Encoded(), "sha256--" + d.Encoded(),
		newDataKey(time.Unix(1700000000, 0)), "data/ab/2026-02-30/" + strings.Repeat("ab", 16), "data/ab/2026-01-02/" + strings.Repeat("AB", 16), "data/cd/2026-01-02/" + strings.Repeat("ab", 16), "data/../format",
		"1-" + digestElement(d), "-1-" + digestElement(d), "9999999999999-x",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := parseDigestElement(text); err == nil && digestElement(d) != text {
			t.Errorf("%q is read as %s", text, d)
		}
		if moment, d, ok := parseHistoryEntry(text); ok {
			if !validDigest(string(d)) || !strings.HasPrefix(text, moment) {
				t.Errorf("%q is read as %q, %s", text, moment, d)
			}
		}
		if _, day, ok := dataMark(text); ok && (!strings.HasPrefix(text, dataPrefix) || drivers.CheckKey("test", "fuzz", text) != nil || !strings.Contains(text, "/"+day+"/")) {
			t.Errorf("%q is data of %q", text, day)
		}
	})
}

// comesBack writes what was read and reads it again.
func comesBack[T any](t *testing.T, v T, decode func([]byte) (T, error)) {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	if again, err := decode(b); err != nil || !reflect.DeepEqual(normal(again), normal(v)) {
		t.Errorf("%+v is read back as %+v, %v", v, again, err)
	}
}

// normal is v without what JSON does not keep: where a time was said to be.
func normal(v any) any {
	switch v := v.(type) {
	case tagRecord:
		v.Pushed = v.Pushed.UTC()
		return v
	case announcement:
		v.Until = v.Until.UTC()
		return v
	}
	return v
}

// FuzzPages compares pages of tags, of the catalogue and of referrers with what a sorted list gives.
func FuzzPages(f *testing.F) {
	for _, last := range []string{"", "a", "b", "zzz", "..", "~", "\x00", "a\x00", "\xff", "a/b", "A", "-", "0", strings.Repeat("a", 5000), "sha256-", "é"} {
		f.Add(last, uint8(2))
	}
	subject := digest.FromString("subject")
	store := memory.New(memory.Options{})
	all := []string{"0", "A", "V1", "_x", "a", "a-b", "a.b", "a0", "a_b", "b", "latest", "v1", "zz"}
	repos := []string{"a", "a-b", "a.b", "a/b", "a0", "a_b", "b", "b/c/d"}
	var referrers []string
	for _, tag := range all {
		if err := store.Put(f.Context(), tagKey("r", tag), nil); err != nil {
			f.Fatal(err)
		}
		d := digest.FromString(tag)
		referrers = append(referrers, digestElement(d))
		if err := store.Put(f.Context(), referrerKey("r", subject, d), []byte(`{"digest":"`+d.String()+`"}`)); err != nil {
			f.Fatal(err)
		}
	}
	slices.Sort(referrers)
	for _, repo := range append(repos, "r") {
		if err := store.Put(f.Context(), catalogKey(repo), nil); err != nil {
			f.Fatal(err)
		}
	}
	repos = append(repos, "r")
	r, err := Open(f.Context(), store, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(r.Close)
	page := func(list []string, last string, n int) (want []string, more bool) {
		for _, one := range list {
			if one > last {
				want = append(want, one)
			}
		}
		return want[:min(n, len(want))], len(want) > n
	}
	f.Fuzz(func(t *testing.T, last string, n uint8) {
		size := int(n%16) + 1
		same := func(what string, got []string, more bool, list []string) {
			t.Helper()
			if want, wantMore := page(list, last, size); !slices.Equal(got, want) || more != wantMore {
				t.Errorf("%s, %d after %q: %q, %t, want %q, %t", what, size, last, got, more, want, wantMore)
			}
		}
		tags, more, err := r.Tags(t.Context(), "r", last, size)
		must(t, err)
		same("tags", tags, more, all)
		names, more, err := r.Catalog(t.Context(), last, size)
		must(t, err)
		same("catalogue", names, more, repos)
		list, next, err := r.Referrers(t.Context(), "r", subject, nil, last, size)
		must(t, err)
		var got []string
		for _, one := range list {
			got = append(got, digestElement(one.Digest))
		}
		same("referrers", got, next != "", referrers)
		if next != "" && next != got[len(got)-1] {
			t.Errorf("the next page begins after %q, this one ends with %q", next, got[len(got)-1])
		}
	})
}
