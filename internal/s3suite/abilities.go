package s3suite

import (
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/cephtest"
	"github.com/longshore-registry/longshore/internal/miniotest"
	"github.com/longshore-registry/longshore/internal/versitygwtest"
)

// known is what three servers make of requests in which stores with the S3 API differ: MinIO of 2026-02-12, versitygw 1.8.0 on a
// folder, and Ceph RGW 16.2.15.
var known = []struct{ name, minio, versitygw, ceph string }{
	{"If-None-Match: * on PUT", "yes", "yes", "yes"},
	{"If-Match on PUT, another ETag", "yes", "yes", "yes"},
	{"If-Match on PUT, ETag in quotes", "yes", "yes", "no"},
	{"If-Match on PUT, ETag without quotes", "yes", "yes", "yes"},
	{"conditional delete", "ignored", "yes", "ignored"},
	{"conditional multipart", "yes", "yes", "ignored"},
	{"conditional multipart, If-Match", "yes", "yes", "ignored"},
	{"repeated complete", "no", "yes", "yes"},
	{"order of parts", "yes", "yes", "ignored"},
	{"minimum part", "yes", "yes", "yes"},
	{"parts of unequal sizes", "yes", "yes", "yes"},
	{"uploads listed by folder", "no", "yes", "yes"},
	{"uploads listed by pages", "yes", "no", "yes"},
	{"checksum trailers", "yes", "yes", "no"},
	{"checksums kept", "yes", "yes", "no"},
	{"wrong checksums refused", "yes", "yes", "ignored"},
	{"multipart checksums", "yes", "yes", "yes"},
	{"server-side copy", "yes", "yes", "yes"},
	{"conditional copy, target", "ignored", "ignored", "ignored"},
	{"conditional copy, source", "yes", "yes", "ignored"},
	{"an object and a folder of one name", "no", "no", "yes"},
	{"delete of many without a checksum", "no", "no", "yes"},
	{"delete of 1,001 refused", "yes", "ignored", "yes"},
	{"storage class REDUCED_REDUNDANCY", "yes", "yes", "no"},
	{"encryption AES256", "no", "yes", "no"},
}

// Abilities starts three servers, and fails t unless a driver that open opens on a new bucket of each says what is known of it, and
// leaves nothing there.
func Abilities(t *testing.T, open func(t testing.TB, url, accessKey, secretKey string) Driver) {
	m, v, c := miniotest.Start(t), versitygwtest.Start(t), cephtest.Start(t)
	for _, server := range []struct {
		name string
		d    Driver
	}{
		{"minio", open(t, m.URL, m.User, m.Password)},
		{"versitygw", open(t, v.URL, v.AccessKey, v.SecretKey)},
		{"ceph", open(t, c.URL, c.AccessKey, c.SecretKey)},
	} {
		t.Run(server.name, func(t *testing.T) {
			got := make(map[string]drivers.Ability)
			for _, a := range server.d.(drivers.Able).Abilities(t.Context(), "able/") {
				got[a.Name] = a
			}
			if len(got) != len(known) {
				t.Errorf("%d abilities, %d are known: %v", len(got), len(known), got)
			}
			for _, k := range known {
				want := map[string]string{"minio": k.minio, "versitygw": k.versitygw, "ceph": k.ceph}[server.name]
				if a := got[k.name]; a.State != want {
					t.Errorf("%s: %s (%s), want %s", k.name, a.State, a.Detail, want)
				}
			}
			empty(t, server.d)
		})
	}
}

// empty fails t if there is something in the store.
func empty(t *testing.T, d Driver) {
	t.Helper()
	for e, err := range d.List(t.Context(), "", "", "") {
		t.Errorf("left: %s, %v", e.Key, err)
	}
	for l, err := range d.Leftovers(t.Context()) {
		t.Errorf("left over: %s, %v", l.Key, err)
	}
}
