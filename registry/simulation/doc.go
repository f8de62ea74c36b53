// Package simulation proves the protocols of docs/design.md on the real code of package registry: its tests run several replicas, their
// clients and collectors over one store in memory and decide, at each call to that store, which one goes on, whether it fails,
// whether its reply is lost and whether its replica dies. The same choices give the same run.
//
// The race detector makes it ten times as slow, so with it the random schedules alone are run.
//
// docs/reliability.md says what is covered and how a failure is run again.
package simulation
