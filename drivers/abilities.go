package drivers

import "context"

// Ability is something that a store can do or not, beyond what a Driver has to.
type Ability struct {
	Name   string `json:"name"`
	State  string `json:"state"`            // "yes", "no", "ignored" (the store takes the request and does not heed it), or "unknown"
	Detail string `json:"detail,omitempty"` // what was seen
}

// Able is a driver that can say what its store does with requests that the driver itself need not make, for a report on the store.
type Able interface {
	// Abilities tries each at the store, with objects whose keys begin with key, a folder, and removes them.
	Abilities(ctx context.Context, key string) []Ability
}
