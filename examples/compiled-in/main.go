// Command compiled-in is longshore with one more storage driver.
package main

import (
	"os"

	"github.com/longshore-registry/longshore/cli"
	"github.com/longshore-registry/longshore/examples/compiled-in/spread"
)

func main() {
	os.Exit(cli.Main(cli.NewDriver("spread", "Several folders, each on a disk of its own.", spread.Defaults(), spread.Open, spread.Config.Place)))
}
