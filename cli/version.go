package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is what is known of the program itself.
type version struct {
	Version  string `json:"version"`            // v1.2.3, or what the go command makes of the commit
	Revision string `json:"revision,omitempty"` // of the source
	Modified bool   `json:"modified,omitempty"` // the source had changes that were not committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// thisVersion reads what the go command wrote into the program.
func thisVersion() version {
	v := version{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (p program) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
	}
	output := addFormat(c, "text", "json")
	c.RunE = func(*cobra.Command, []string) error {
		v := thisVersion()
		if output.value == "json" {
			return p.printJSON(v)
		}
		_, err := fmt.Fprintf(p.stdout, "longshore %s (%s, %s)\n", v.Version, v.Go, v.Platform)
		return err
	}
	return c
}

// printJSON writes v to stdout, indented.
func (p program) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
