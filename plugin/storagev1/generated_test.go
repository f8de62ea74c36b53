//go:build integration

package storagev1_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGenerated fails when the Go code is not what storage.proto gives. It needs protoc, from Debian's protobuf-compiler.
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "sh", "generate.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"storage.pb.go", "storage_grpc.pb.go"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(versionless(got), versionless(want)) {
			t.Errorf("%s is not what storage.proto gives; run go generate", name)
		}
	}
}

// versionless leaves out the line that names protoc's version, which is the machine's.
func versionless(code []byte) []byte {
	var kept [][]byte
	for _, line := range bytes.SplitAfter(code, []byte("\n")) {
		if !bytes.Contains(line, []byte("protoc ")) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, nil)
}
