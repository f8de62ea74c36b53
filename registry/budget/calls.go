package budget

import "github.com/longshore-registry/longshore/drivers/counting"

// Calls makes a Store of a driver whose calls are counted, for backends whose requests can't be seen: a folder, or memory.
func Calls(d *counting.Driver) Store {
	return Store{Requests: func() Counts {
		counts := Counts(d.Counts())
		delete(counts, "write")   // many make one part
		delete(counts, "signurl") // asks nothing of the store
		return counts
	}}
}
