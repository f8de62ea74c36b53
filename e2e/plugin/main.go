// Command plugin is a storage plugin for tests. Its argument says which driver it has: memory or fs.
package main

import (
	"fmt"
	"os"

	"github.com/longshore-registry/longshore/drivers/fs"
	"github.com/longshore-registry/longshore/drivers/memory"
	"github.com/longshore-registry/longshore/plugin"
)

func main() {
	switch {
	case len(os.Args) == 2 && os.Args[1] == "memory":
		plugin.Serve("memory", memory.Defaults(), memory.Open)
	case len(os.Args) == 2 && os.Args[1] == "fs":
		plugin.Serve("fs", fs.Defaults(), fs.Open)
	default:
		fmt.Fprintln(os.Stderr, "usage: plugin memory|fs")
		os.Exit(2)
	}
}
