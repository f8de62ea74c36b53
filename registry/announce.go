package registry

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// clockLeeway is how far the clocks of two replicas may differ: an announcement counts as in
// force for that much longer than it says.
const clockLeeway = 30 * time.Second

// announcement is what a collector puts up before it looks a second time and deletes: what is announced is being
// taken away until the announcement has gone or its deadline has passed.
type announcement struct {
	By    string    `json:"by"`
	Until time.Time `json:"until"`
}

// waitOut returns when no announcement at key is in force. It costs one request when there is
// none. Announcements last some tens of seconds at most.
func (r *Registry) waitOut(ctx context.Context, key string) error {
	const firstPause, longestPause = 50 * time.Millisecond, time.Second
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		o, err := r.reads.get(ctx, key)
		if errors.Is(err, drivers.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		a, err := decodeAnnouncement(key, o.body)
		if err != nil {
			return err
		}
		if r.now().After(a.Until.Add(clockLeeway)) {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func decodeAnnouncement(key string, body []byte) (announcement, error) {
	var a announcement
	if err := json.Unmarshal(body, &a); err != nil {
		return announcement{}, &drivers.Error{Op: "read announcement", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	return a, nil
}
