package cli

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/plugin"
)

// folderPlugin is the main function of a plugin with the driver fs.
func folderPlugin() {
	fmt.Fprintln(os.Stderr, "hello from the plugin")
	plugin.Serve("fs", fs.Defaults(), fs.Open)
}

// pushImage is the command "push ADDR TAG [TEXT]": it pushes an image whose layer holds the text, or the tag.
func pushImage(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 || neg {
		ts.Fatalf("usage: push ADDR TAG [TEXT OF THE LAYER]")
	}
	base := "http://" + args[0] + "/v2/image"
	var blobs []string
	for _, body := range []string{"{}", "layer " + args[len(args)-1]} {
		digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(body)))
		ts.Check(send(http.MethodPost, base+"/blobs/uploads/?digest="+digest, "application/octet-stream", body))
		blobs = append(blobs, fmt.Sprintf(`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"%s","size":%d}`, digest, len(body)))
	}
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}`
	ts.Check(send(http.MethodPut, base+"/manifests/"+args[1], "application/vnd.oci.image.manifest.v1+json", fmt.Sprintf(manifest, blobs[0], blobs[1])))
}

// send sends a request until it is answered with 201, for 20 seconds at most.
func send(method, url, mediaType, body string) error {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", mediaType)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		switch {
		case err != nil:
			return err
		case response.StatusCode == http.StatusCreated:
			return nil
		case response.StatusCode != http.StatusServiceUnavailable && response.StatusCode != http.StatusTooManyRequests:
			return fmt.Errorf("%s %s: %s: %s", method, url, response.Status, text)
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("%s %s: still %s: %s", method, url, response.Status, text)
		}
	}
}

// killChild is the command "killchild": it kills what the programs in the background have started.
func killChild(ts *testscript.TestScript, _ bool, _ []string) {
	for _, c := range ts.BackgroundCmds() {
		out, err := exec.Command("pgrep", "-P", strconv.Itoa(c.Process.Pid)).Output()
		ts.Check(err)
		for _, child := range strings.Fields(string(out)) {
			pid, err := strconv.Atoi(child)
			ts.Check(err)
			ts.Check(syscall.Kill(pid, syscall.SIGKILL))
		}
	}
}
