package s3suite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// Credentials are temporary ones.
type Credentials struct{ AccessKey, SecretKey, SessionToken string }

// Policy does everything with credentials that have the rights in the JSON block of a page and no others; and then takes away
// each right, which has to give a clear error where it is needed. open opens a driver with parts of 5 MiB on a bucket; zero
// credentials are root's.
func Policy(t *testing.T, page string, s *miniotest.Server, open func(t *testing.T, bucket string, c Credentials) (drivers.Driver, error)) {
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, policy, _ := strings.Cut(string(doc), "```json\n")
	policy, _, found := strings.Cut(policy, "```")
	if !found {
		t.Fatalf("%s shows no policy", page)
	}
	bucket := s.Bucket(t)
	policy = strings.ReplaceAll(policy, "arn:aws:s3:::registry", "arn:aws:s3:::"+bucket)
	root, err := open(t, bucket, Credentials{})
	if err != nil {
		t.Fatal(err)
	}
	limited := func(t *testing.T, policy string) (drivers.Driver, error) {
		t.Helper()
		return open(t, bucket, Assume(t, s, policy))
	}
	t.Run("suffices", func(t *testing.T) {
		d, err := limited(t, policy)
		if err != nil {
			t.Fatal(err)
		}
		for _, failed := range everything(t, root, d) {
			t.Error(failed)
		}
		if _, err := open(t, s.Bucket(t), Assume(t, s, policy)); err == nil || !strings.Contains(err.Error(), "no right") {
			t.Errorf("Open of another bucket: %v", err)
		}
	})
	for action, ops := range map[string][]string{
		"s3:ListBucketMultipartUploads": {"leftovers"},
		"s3:GetObject":                  {"reader", "stat"},
		"s3:PutObject":                  {"put", "putifabsent", "write", "suspend"},
		"s3:DeleteObject":               {"delete"},
		"s3:AbortMultipartUpload":       {"cancel", "drop"},
		"s3:ListMultipartUploadParts":   {"commit", "leftovers", "cancel"},
		"s3:ListBucket":                 nil,
	} {
		t.Run("without "+action, func(t *testing.T) {
			if !strings.Contains(policy, `"`+action+`"`) {
				t.Fatal("the policy does not have it")
			}
			d, err := limited(t, strings.Replace(policy, `"`+action+`"`, `"s3:GetBucketLocation"`, 1))
			if ops == nil { // Open notices
				if err == nil || !strings.Contains(err.Error(), "no right to use the bucket") || !strings.Contains(err.Error(), "docs/") {
					t.Errorf("Open: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			missing := map[string]bool{}
			for _, op := range ops {
				missing[op] = true
			}
			for _, failed := range everything(t, root, d) {
				e := new(drivers.Error)
				if !errors.As(failed, &e) || !errors.Is(failed, drivers.ErrDenied) || !strings.Contains(failed.Error(), action) {
					t.Errorf("the error is not clear: %v", failed)
				}
				delete(missing, e.Op)
			}
			for op := range missing {
				t.Errorf("%s does not fail", op)
			}
		})
	}
}

// Assume returns credentials with the rights of a policy.
func Assume(t *testing.T, s *miniotest.Server, policy string) Credentials {
	t.Helper()
	sts, err := credentials.NewSTSAssumeRole(s.URL, credentials.STSAssumeRoleOptions{
		AccessKey: s.User, SecretKey: s.Password, Policy: policy, Location: miniotest.Region,
	})
	if err != nil {
		t.Fatal(err)
	}
	value, err := sts.GetWithContext(s.Client(t).CredContext())
	if err != nil {
		t.Fatal(err)
	}
	return Credentials{value.AccessKeyID, value.SecretAccessKey, value.SessionToken}
}

// everything tries all that a registry does, and returns what failed. root is another handle on the store that may do all.
func everything(t *testing.T, root, d drivers.Driver) (failed []error) {
	t.Helper()
	ctx := t.Context()
	try := func(err error) {
		if err != nil {
			failed = append(failed, err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(root.Delete(ctx, "a/new", "a/newer", "a/layer")) // of those who could not
	must(root.Put(ctx, "a/old", []byte("old")))
	if _, err := d.Stat(ctx, "a/absent"); !errors.Is(err, drivers.ErrNotFound) {
		try(err)
	}
	body, _, err := d.Reader(ctx, "a/old", 0, -1)
	try(err)
	if err == nil {
		must(body.Close())
	}
	try(d.Put(ctx, "a/new", nil))
	try(drivers.ExtrasOf(d).Absent.PutIfAbsent(ctx, "a/newer", nil))
	for _, err := range d.List(ctx, "a/", "", "/") {
		try(err)
	}
	large := bytes.Repeat([]byte("a layer"), 2*minPart/7)
	// Parts are sent in the background, so who has no right to may know it at either.
	w, err := d.Writer(ctx, "a/layer", -1)
	must(err)
	if _, err = w.Write(large); err == nil {
		_, err = w.Write(large)
	}
	try(err)
	if err == nil {
		_, err = w.Suspend(ctx)
		try(err)
	}
	if err != nil {
		if w, err = d.Writer(ctx, "a/layer", -1); err == nil {
			_, err = w.Suspend(ctx)
			try(err)
		}
	}
	for _, end := range []func(drivers.Writer) error{
		func(w drivers.Writer) error { return w.Commit(ctx) },
		func(w drivers.Writer) error { return w.Cancel(ctx) },
	} {
		w, err := root.Writer(ctx, "a/layer", -1)
		must(err)
		state, err := w.Suspend(ctx)
		must(err)
		w, err = d.Resume(ctx, "a/layer", state)
		must(err)
		try(end(w))
	}
	sweep := drivers.ExtrasOf(d).Sweep
	for _, err := range sweep.Leftovers(ctx) {
		try(err)
	}
	for l, err := range drivers.ExtrasOf(root).Sweep.Leftovers(ctx) {
		must(err)
		try(sweep.Drop(ctx, l))
	}
	try(d.Delete(ctx, "a/old"))
	try(d.Delete(ctx, "a/new", "a/newer", "a/layer"))
	if len(failed) == 0 {
		for e, err := range root.List(ctx, "", "", "") {
			failed = append(failed, fmt.Errorf("%s is left: %w", e.Key, err))
		}
	}
	return failed
}
