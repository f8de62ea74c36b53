package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/longshore-registry/longshore/drivers"
)

// clockLeeway is how far the clocks of two replicas may differ: an announcement counts as in
// force for that much longer than it says.
const clockLeeway = 30 * time.Second

const (
	// longestAnnouncement is for registries with so many links that listing them again takes longer than announceTime.
	longestAnnouncement = 10 * time.Minute

	// longestLag is what CollectOptions.Lag, which is added to it, may be at most.
	longestLag = 50 * time.Minute

	// longestLife is how long after its object was put an announcement is void, whatever it says: it is damaged, since honest ones end within
	// an hour. The other hour is for a store whose clock is behind.
	longestLife = 2 * time.Hour

	// longestWait is how long a request waits for announcements; then it is answered that the store is busy, and the client comes back. It is far longer
	// than announcements last where links are listed within a minute.
	longestWait = 5 * time.Minute
)

// announcement is what a collector puts up before it looks a second time and deletes: what is announced is being
// taken away until the announcement has gone or its deadline has passed.
type announcement struct {
	By    string    `json:"by"`
	Until time.Time `json:"until"`

	put time.Time // when, by the store's clock
}

// waitOut returns when no announcement at key is in force. It costs one request when there is
// none. ErrThrottled if that takes too long.
func (r *Registry) waitOut(ctx context.Context, key string) error {
	const firstPause, longestPause = 50 * time.Millisecond, time.Second
	began := r.now()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		o, err := r.reads.get(ctx, key)
		if errors.Is(err, drivers.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		if r.void(announced(key, o)) {
			return nil
		}
		if waited := r.now().Sub(began); waited > longestWait {
			return &drivers.Error{Op: "wait", Driver: "registry", Key: key, Kind: drivers.ErrThrottled, Err: fmt.Errorf("a collection has announced it for more than %v", waited.Round(time.Second))}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// announced is the announcement that was read. One that can't be understood is in force as long as any can be: it may be that of a collector at
// work.
func announced(key string, o object) announcement {
	a, err := decodeAnnouncement(key, o.body)
	if err != nil {
		a = announcement{Until: o.info.ModTime.Add(longestLife)}
	}
	a.put = o.info.ModTime
	return a
}

// void reports whether everyone takes the announcement as void.
func (r *Registry) void(a announcement) bool {
	ends := a.Until
	if last := a.put.Add(longestLife); last.Before(ends) {
		ends = last
	}
	return r.now().After(ends.Add(clockLeeway))
}

func decodeAnnouncement(key string, body []byte) (announcement, error) {
	var a announcement
	err := json.Unmarshal(body, &a)
	if err == nil && a.Until.IsZero() {
		err = errors.New("it has no deadline")
	}
	if err != nil {
		return announcement{}, &drivers.Error{Op: "read announcement", Driver: "registry", Key: key, Kind: drivers.ErrCorrupt, Err: err}
	}
	return a, nil
}
