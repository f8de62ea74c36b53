//go:build unix

package fs

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockShards is how many locks all keys share.
const lockShards = 64

// lockFile is the file of a shard's lock.
func (d *Driver) lockFile(shard uint32) (*os.File, error) {
	return openFile(filepath.Join(d.temp, fmt.Sprintf("lock-%02d", shard)), os.O_CREATE|os.O_RDWR, fileMode)
}

// makeLocks makes the files of all locks while there is room for them: what is full has to be emptied by deletes, which need them.
func (d *Driver) makeLocks() error {
	for shard := range uint32(lockShards) {
		f, err := d.lockFile(shard)
		if is(err, syscall.ENOSPC, syscall.EDQUOT) {
			return nil
		}
		if err != nil {
			return err
		}
		_ = f.Close() // nothing was written
	}
	return nil
}

// lock keeps all other processes, and all other calls of this one, from giving another file to key until unlock
// is called. It is what makes the compare and the replace of PutIfMatch one step.
func (d *Driver) lock(ctx context.Context, key string) (unlock func(), err error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(key)) // never fails
	shard := h.Sum32() % lockShards
	select {
	case d.locks[shard] <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f, err := d.lockFile(shard)
	if err == nil {
		if err = flockWait(ctx, f); err != nil {
			_ = f.Close() // the error at hand says more
		}
	}
	if err != nil {
		<-d.locks[shard]
		return nil, err
	}
	return func() {
		_ = f.Close() // drops the lock; nothing was written
		<-d.locks[shard]
	}, nil
}

// flockWait waits for the lock on f. The system's own way to wait can't be interrupted, so this asks again and again.
func flockWait(ctx context.Context, f *os.File) error {
	const first, last = 100 * time.Microsecond, 10 * time.Millisecond
	for pause := first; ; pause = min(2*pause, last) {
		err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// flock calls flock(2), again if a signal came between.
func flock(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var locked error
	err = conn.Control(func(fd uintptr) {
		for {
			locked = syscall.Flock(int(fd), how)
			if !errors.Is(locked, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, locked)
}
