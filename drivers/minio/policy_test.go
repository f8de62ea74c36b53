//go:build integration

package minio

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// TestPolicy does everything with temporary credentials that have the rights in docs/minio.md
// and no others.
func TestPolicy(t *testing.T) {
	doc, err := os.ReadFile("../../docs/minio.md")
	if err != nil {
		t.Fatal(err)
	}
	_, policy, _ := strings.Cut(string(doc), "```json\n")
	policy, _, found := strings.Cut(policy, "```")
	if !found {
		t.Fatal("docs/minio.md shows no policy")
	}
	c := newConfig(t)
	c.PartSize = parts.MinPart
	root := open(t, c)
	if err := root.Put(t.Context(), "a/old", []byte("old")); err != nil {
		t.Fatal(err)
	}
	policy = strings.ReplaceAll(policy, "arn:aws:s3:::registry", "arn:aws:s3:::"+c.Bucket)
	sts, err := credentials.NewSTSAssumeRole(c.Endpoint, credentials.STSAssumeRoleOptions{
		AccessKey: c.AccessKey, SecretKey: string(c.SecretKey), Policy: policy, Location: c.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	value, err := sts.GetWithContext(root.core.CredContext())
	if err != nil {
		t.Fatal(err)
	}
	c.AccessKey, c.SecretKey, c.SessionToken = value.AccessKeyID, drivers.Secret(value.SecretAccessKey), drivers.Secret(value.SessionToken)
	d := open(t, c)
	ctx := t.Context()
	if _, err := d.Stat(ctx, "a/absent"); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("Stat of what is absent: %v, want ErrNotFound", err)
	}
	if got := string(readBack(t, d, "a/old")); got != "old" {
		t.Errorf("read %q", got)
	}
	if err := errors.Join(d.Put(ctx, "a/new", nil), d.PutIfAbsent(ctx, "a/newer", nil)); err != nil {
		t.Error(err)
	}
	n := 0
	for _, err := range d.List(ctx, "a/", "", "/") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("listed %d, want 3", n)
	}
	for _, end := range []string{"commit", "cancel"} {
		w, err := d.Writer(ctx, "a/large", -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(pattern(1, parts.MinPart+1)); err != nil {
			t.Fatal(err)
		}
		state, err := w.Suspend(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if w, err = d.Resume(ctx, "a/large", state); err != nil {
			t.Fatal(err)
		}
		if end == "commit" {
			err = w.Commit(ctx)
		} else {
			err = w.Cancel(ctx)
		}
		if err != nil {
			t.Errorf("%s: %v", end, err)
		}
	}
	if err := errors.Join(d.Delete(ctx, "a/old"), d.Delete(ctx, "a/new", "a/newer", "a/large")); err != nil {
		t.Error(err)
	}
	c.Bucket = server.Get(t).Bucket(t)
	if _, err := Open(ctx, c); err == nil || !strings.HasPrefix(err.Error(), "access_key: has no right") {
		t.Errorf("Open of another bucket: %v", err)
	}
}
