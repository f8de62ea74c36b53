package registry

import (
	"strings"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// leftoverMargin is what is added to the life of an upload before its stream counts as abandoned: a request that came in its last
// minute may go on for hours, and a store's clock may differ from ours.
const leftoverMargin = 24 * time.Hour

// LeftoverAge is how long ago a stream has to have begun before nobody can be writing to it any more, where uploads
// live for life. To drop a younger one can end a push that is under way.
func LeftoverAge(life time.Duration) time.Duration { return life + leftoverMargin }

// OwnsLeftover reports whether l is a stream that a registry may have begun: its key is one for the bytes of blobs, or the driver
// can't tell. In a bucket that is shared without a prefix all others are somebody else's.
func OwnsLeftover(l drivers.Leftover) bool {
	return l.Key == "" || strings.HasPrefix(l.Key, dataPrefix)
}
