//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The parts of the OCI conformance suite (opencontainers/distribution-spec, folder conformance, commit 97274622c111) that have to
// pass. Those of the next version of the spec are switched off in 1.1, and sparse manifests always: an index whose
// manifests are absent is refused unless configured otherwise.
var (
	conformanceAPIs = []string{
		"Blob anonymous mount", "Blob chunked", "Blob delete", "Blob delete atomic", "Blob get", "Blob get range", "Blob head",
		"Blob mount", "Blob post only", "Blob post put", "Blob push", "Blob streaming", "Manifest delete", "Manifest delete atomic",
		"Manifest get by digest", "Manifest get by tag", "Manifest head by digest", "Manifest head by tag", "Manifest put by digest",
		"Manifest put by tag", "Manifest put with subject", "Ping", "Referrers", "Tag delete", "Tag delete atomic", "Tag listing",
	}
	conformanceData = []string{
		"Artifact", "Artifact Index", "Artifact without Layers", "Artifacts with Subject", "Bad Digest Image", "Blobs sha256",
		"Blobs sha512", "Custom Fields", "Data Field", "Digest Algorithm sha512", "Empty Index", "Image", "Image Uncompressed",
		"Image with Large Manifest", "Index", "Index with Subject", "Invalid Manifest Digest", "Missing Subject", "Nested Index",
		"No Layers", "Non-distributable Layers",
	}
	conformanceNextAPIs = []string{"Blob upload cancel", "Manifest put with tag params"}
	conformanceNextData = []string{"Tag Param", "Tag Param sha512"}
)

// TestOCIConformance runs the OCI conformance suite with everything switched on but sparse manifests, for the spec 1.1 and for
// what is merged for the next version. Its exit status alone would not do: it is 0 if the suite's configuration is wrong.
func TestOCIConformance(t *testing.T) {
	onEachStore(t, func(t *testing.T, env []string) {
		s := serve(t, freeAddr(t), env)
		t.Run("1.1", func(t *testing.T) {
			results := runConformance(t, s, "1.1")
			wantResults(t, results.APIs, conformanceAPIs, conformanceNextAPIs)
			wantResults(t, results.Data, conformanceData, slices.Concat(conformanceNextData, []string{"Sparse Manifests"}))
		})
		t.Run("dev", func(t *testing.T) {
			results := runConformance(t, s, "dev")
			wantResults(t, results.APIs, slices.Concat(conformanceAPIs, conformanceNextAPIs), nil)
			wantResults(t, results.Data, slices.Concat(conformanceData, conformanceNextData), []string{"Sparse Manifests"})
		})
	})
}

// conformanceResults is the part of results.yaml that matters here: a status by name.
type conformanceResults struct {
	APIs map[string]string `yaml:"apis"`
	Data map[string]string `yaml:"data"`
}

func runConformance(t *testing.T, s server, version string) conformanceResults {
	t.Helper()
	sh := newShell(t)
	dir := filepath.Join(sh.dir, "results") // new, so that nothing in it is of another run
	sh.env = append(sh.env, "OCI_REGISTRY="+s.addr, "OCI_TLS=disabled", "OCI_REPO1=conformance/one", "OCI_REPO2=conformance/two",
		"OCI_VERSION="+version, "OCI_RESULTS_DIR="+dir)
	stdout, stderr, err := sh.exec("", "conformance", nil)
	if err != nil {
		t.Errorf("conformance: %v\n%s%s", err, stdout, stderr)
	}
	body, err := os.ReadFile(filepath.Join(dir, "results.yaml"))
	if err != nil {
		t.Fatalf("%v\n%s%s", err, stdout, stderr)
	}
	var results conformanceResults
	if err := yaml.Unmarshal(body, &results); err != nil {
		t.Fatal(err)
	}
	statuses := map[string]int{}
	for _, all := range []map[string]string{results.APIs, results.Data} {
		for _, status := range all {
			statuses[status]++
		}
	}
	t.Attr("results", fmt.Sprintf("%d passed, %d failed", statuses["Pass"], len(results.APIs)+len(results.Data)-statuses["Pass"]-statuses["Disabled"]))
	return results
}

// wantResults fails the test unless exactly passed and disabled are the names in results, with these statuses.
func wantResults(t *testing.T, results map[string]string, passed, disabled []string) {
	t.Helper()
	for _, name := range passed {
		if status := results[name]; status != "Pass" {
			t.Errorf("%s: %q, want Pass", name, status)
		}
	}
	for _, name := range disabled {
		if status := results[name]; status != "Disabled" {
			t.Errorf("%s: %q, want Disabled", name, status)
		}
	}
	if want := len(passed) + len(disabled); len(results) != want {
		t.Errorf("%d results, want %d: %v", len(results), want, results)
	}
}
