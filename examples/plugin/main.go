// Command plugin is a storage plugin of longshore: the example's driver as a program of its own.
package main

import (
	"github.com/longshore-registry/longshore/examples/compiled-in/spread"
	"github.com/longshore-registry/longshore/plugin"
)

func main() { plugin.Serve("spread", spread.Defaults(), spread.Open) }
