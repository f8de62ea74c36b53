package cli

import (
	"os"
	"path/filepath"
	"strconv"
)

// folderHere is where images are kept when nothing is configured.
const folderHere = "./longshore-data"

// defaultRoot is folderHere, or for a systemd user service, whose working folder is the home
// folder, longshore in the folder that the XDG base directory specification gives to data.
func (p program) defaultRoot() string {
	if !p.isUserService() {
		return folderHere
	}
	data := p.getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) { // the specification: others are to be ignored
		home := p.getenv("HOME")
		if home == "" {
			return folderHere
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "longshore")
}

// isUserService reports whether systemd started the program for somebody else than root.
// INVOCATION_ID alone doesn't tell: a terminal that is itself a service passes it on to every program in it.
func (p program) isUserService() bool {
	if p.getenv("INVOCATION_ID") == "" || p.uid == 0 {
		return false
	}
	if service, err := strconv.Atoi(p.getenv("SYSTEMD_EXEC_PID")); err == nil {
		return service == os.Getpid() || service == os.Getppid()
	}
	return !isTerminal(p.stderr)
}
