package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/longshore-registry/longshore/config"
)

// contradictions are settings that can't mean what they say together, or not what people expect of them.
func (l loaded) contradictions() (all []result) {
	say := func(status status, name, detail, fix string) { all = append(all, result{name, status, detail, fix}) }
	driver := "storage." + l.driver.Name
	switch l.driver.Name {
	case "memory":
		say(warned, "memory", "all images are gone when the process ends, and no replica sees another's", "use another driver for anything but a trial")
	case "fs":
		l.folder(say)
	}
	if l.Redirect.Enabled {
		switch {
		case l.driver.Name == "fs" || l.driver.Name == "memory":
			say(failed, "redirect", "redirect.enabled is true, but "+l.driver.Name+" can't hand out URLs", "set redirect.enabled: false")
		case l.value("encryption") == "customer":
			say(failed, "redirect", "redirect.enabled is true, but a URL alone can't read what is encrypted with customer_key", "set redirect.enabled: false, or another "+driver+".encryption")
		case l.driver.Name == "swift" && l.value("temp_url_key") == "":
			say(failed, "redirect", "redirect.enabled is true, but there is no key to sign with", "set "+driver+".temp_url_key")
		case l.driver.Name == "gcs" && l.value("anonymous") == "true":
			say(failed, "redirect", "redirect.enabled is true, but without credentials nothing is signed", "set redirect.enabled: false")
		case l.value("public_endpoint") == "" && local(l.endpoint()):
			say(warned, "redirect", "clients are redirected to "+l.endpoint()+", which only this machine can reach", "set "+driver+".public_endpoint to the address that clients know, or redirect.enabled: false")
		}
		if l.value("session_token") != "" && l.Redirect.Life > time.Hour {
			say(warned, "redirect life", "URLs end with the temporary credentials that signed them, whatever redirect.life says", "set redirect.life to less than the credentials live")
		}
	} else if public := l.value("public_endpoint"); public != "" {
		say(warned, "public_endpoint", driver+".public_endpoint is set, but nobody is redirected", "set redirect.enabled: true, or remove "+driver+".public_endpoint")
	}
	if strings.HasPrefix(l.HTTP.PublicURL, "https://") && len(l.HTTP.TrustedProxies) == 0 {
		say(warned, "trusted_proxies", "http.public_url is https, so a proxy stands before the registry; its clients all look like that proxy in the log and in redirect.networks", "set http.trusted_proxies to the proxy's address")
	}
	if l.value("insecure_skip_verify") == "true" {
		say(warned, "tls", driver+".insecure_skip_verify is true: anyone on the way can read and change everything", "set "+driver+".ca_file instead")
	}
	if l.driver.Name == "minio" && l.Uploads.Life >= 24*time.Hour {
		say(warned, "uploads", "MinIO drops an unfinished upload 24 hours after it was begun, as long as uploads.life", "set uploads.life to 23h, or on MinIO: mc admin config set ALIAS api stale_uploads_expiry=48h")
	}
	l.parts(say)
	if len(all) == 0 {
		say(passed, "settings", "nothing contradicts", "")
	}
	return all
}

// parts looks at how large an object can be, and how many parts fit into memory.
func (l loaded) parts(say func(status, string, string, string)) {
	size, err := config.ParseSize(l.value("part_size"))
	if err != nil {
		return // a driver without parts
	}
	memory, err := config.ParseSize(l.value("memory"))
	if err != nil {
		return
	}
	driver := "storage." + l.driver.Name
	if l.value("equal_parts") == "true" {
		say(passed, "largest blob", fmt.Sprintf("%v where the client does not say the size: 9,999 parts of %v", 9999*size, size), "")
	}
	if memory < 4*size {
		say(warned, "memory", fmt.Sprintf("%s.memory of %v holds %d parts of %v: as few go up at once, of all uploads together", driver, memory, memory/size, size), fmt.Sprintf("set %s.memory to %v or more", driver, 12*size))
	}
}

// folder looks at what kind of file system the root is on.
func (l loaded) folder(say func(status, string, string, string)) {
	root := absolute(l.value("root"))
	if l.value("durability") == "fast" {
		say(warned, "durability", "storage.fs.durability is fast: what was acknowledged in the last seconds is lost with the power", "set storage.fs.durability: full")
	}
	kind := fileSystemOf(root)
	switch {
	case kind == "tmpfs" || kind == "ramfs":
		say(warned, "root", root+" is in memory ("+kind+"): the images are gone when the machine restarts", "set storage.fs.root to a folder on a disk")
	case kind == "overlay":
		say(warned, "root", root+" is inside the container: the images are gone with it", "mount a volume there")
	case strings.HasPrefix(kind, "nfs") || kind == "cifs" || kind == "smb3":
		say(warned, "root", root+" is on a network file system ("+kind+")", "replicas need working locks and no cache of attributes there (actimeo=0); an object store serves replicas better")
	}
}

// fileSystemOf is the kind of file system that holds a path or, if that is not there yet, the folder above it; "" if it can't be told.
func fileSystemOf(path string) string {
	if runtime.GOOS != "linux" {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	for _, err := os.Stat(path); err != nil && path != filepath.Dir(path); _, err = os.Stat(path) {
		path = filepath.Dir(path)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	kind, longest := "", -1
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		at := strings.TrimSuffix(fields[1], "/")
		if (path == at || strings.HasPrefix(path, at+"/")) && len(at) >= longest {
			kind, longest = fields[2], len(at)
		}
	}
	return kind
}

// local reports whether only this machine reaches a URL.
func local(endpoint string) bool {
	return strings.Contains(endpoint, "//127.") || strings.Contains(endpoint, "//localhost") || strings.Contains(endpoint, "//[::1]")
}
