// Longshore-glance is a plugin of longshore that keeps its images in the image service of OpenStack. docs/glance.md tells how it is used.
package main

import (
	"github.com/longshore-registry/longshore/plugin"
	"github.com/longshore-registry/longshore/plugins/glance"
)

func main() { plugin.Serve("glance", glance.Defaults(), glance.Open) }
