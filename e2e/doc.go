// Package e2e holds the end-to-end tests: they build longshore, start it on a folder and on MinIO, and have real clients,
// the OCI conformance suite and suites of others push to it and pull from it. They are built with the tag e2e and run as root,
// since docker and containerd do:
//
//	make test                                               # installs what is needed, runs everything
//	go test -tags e2e -run 'TestClients/fs/skopeo' ./e2e    # one client
//
// The Go-built tools are looked for in the folder that LONGSHORE_TOOLS names (default: bin of this checkout), then in PATH.
// A client that is not installed is a failure.
package e2e
