// Command longshore is a container registry whose only state is an object store.
//
//	longshore serve               images in ./longshore-data, on port 5000
//	longshore serve config.yml    everything else; see docs/configuration.md
package main

import (
	"os"

	"github.com/longshore-registry/longshore/cli"
)

func main() { os.Exit(cli.Main()) }
