// Package plugin keeps objects where a program of its own keeps them: a storage plugin, which this driver starts and speaks to.
//
//	storage:
//	  plugin:
//	    command: longshore-glance
//	    config: {…}
//
// A plugin that ends is started again by the next call. What was under way fails with drivers.ErrThrottled, which clients are told
// to try again; what was acknowledged is in the plugin's backend. docs/plugins.md tells more.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// Driver is a [drivers.Driver] in another process. It can do what the plugin's can, but for [drivers.Filer]: files don't cross.
type Driver struct {
	keeper *keeper
	about  *storagev1.OpenResponse // of the first start
}

var _ drivers.Driver = (*Driver)(nil)

// Open starts the plugin, which opens its backend. What is wrong with the plugin's own settings is an error that begins with
// config and the path of the key below it.
func Open(ctx context.Context, c Config) (*Driver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	k := newKeeper(c)
	p, err := k.running(ctx)
	if err != nil {
		k.close()
		return nil, err
	}
	return &Driver{keeper: k, about: p.about}, nil
}

// Close asks the plugin to end, kills it if it has not after two seconds, and returns when it has ended. Calls under way and later ones fail.
func (d *Driver) Close() { d.keeper.close() }

// Identity says whose credentials the plugin uses.
func (d *Driver) Identity() string {
	if d.about.GetIdentity() == "" {
		return "those of the plugin " + d.keeper.name()
	}
	return d.about.GetIdentity()
}

// Extras are those of the plugin's driver.
func (d *Driver) Extras() drivers.Extras {
	x := extras{d}
	var e drivers.Extras
	if d.about.GetPutIfAbsent() {
		e.Absent = x
	}
	if d.about.GetPutIfMatch() {
		e.Match = x
	}
	if d.about.GetSignUrl() {
		e.Signer = x
	}
	if d.about.GetSweep() {
		e.Sweep = x
	}
	return e
}

// check refuses bad keys before anything is asked of the plugin.
func (d *Driver) check(op, key string) error { return drivers.CheckKey(d.about.GetName(), op, key) }

// fail is the error that a method returns: nil for nil, the context's own if that has ended, what the plugin's driver said, or that the plugin
// is gone. p is nil if it could not be started.
func (d *Driver) fail(ctx context.Context, p *process, op, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	e := &drivers.Error{Op: op, Driver: d.about.GetName(), Key: key}
	s, isStatus := status.FromError(err)
	switch {
	case errors.Is(err, errClosed):
		e.Err = err
	case p == nil:
		e.Kind, e.Err = drivers.ErrThrottled, errors.New(err.Error())
	case failureIn(s) != nil:
		return storagev1.ErrorOf(failureIn(s))
	case errors.Is(err, io.EOF):
		e.Err = offContract(p, "its answer is not whole")
	case isStatus && s.Code() == codes.DeadlineExceeded: // the plugin's clock was faster
		e.Err = context.DeadlineExceeded
	case isStatus && s.Code() != codes.Unavailable && s.Code() != codes.Canceled && !p.client.Exited():
		e.Err = offContract(p, s.Message())
	default:
		how := p.end(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e.Kind, e.Err = drivers.ErrThrottled, fmt.Errorf("the plugin %s ended (%s)%s; the next request starts it again", p.name, how, p.said.tail())
	}
	return e
}

// offContract is what a plugin did that none may do; it may be of another age than longshore.
func offContract(p *process, what string) error {
	return fmt.Errorf("the plugin %s does not keep to version %d of the contract: %s", p.name, storagev1.Version, what)
}

// failureIn is the detail of a status that tells of an error of the plugin's driver, or nil.
func failureIn(s *status.Status) *storagev1.Failure {
	for _, detail := range s.Details() {
		if f, ok := detail.(*storagev1.Failure); ok {
			return f
		}
	}
	return nil
}

// call makes one call with one answer.
func (d *Driver) call(ctx context.Context, op, key string, f func(storagev1.StorageClient) error) error {
	p, err := d.keeper.running(ctx)
	if err != nil {
		return d.fail(ctx, nil, op, key, err)
	}
	return d.fail(ctx, p, op, key, f(p.calls))
}

// Put is one call.
func (d *Driver) Put(ctx context.Context, key string, body []byte) error {
	return d.put(ctx, "put", &storagev1.PutRequest{Key: key, Body: body})
}

func (d *Driver) put(ctx context.Context, op string, r *storagev1.PutRequest) error {
	if err := d.check(op, r.GetKey()); err != nil {
		return err
	}
	if len(r.GetBody()) > storagev1.MaxPut {
		return &drivers.Error{Op: op, Driver: d.about.GetName(), Key: r.GetKey(), Kind: drivers.ErrInvalid,
			Err: fmt.Errorf("%d bytes are more than fit into one message to a plugin; a Writer takes them", len(r.GetBody()))}
	}
	return d.call(ctx, op, r.GetKey(), func(c storagev1.StorageClient) error {
		_, err := c.Put(ctx, r)
		return err
	})
}

// Stat is one call.
func (d *Driver) Stat(ctx context.Context, key string) (info drivers.Info, err error) {
	if err := d.check("stat", key); err != nil {
		return info, err
	}
	err = d.call(ctx, "stat", key, func(c storagev1.StorageClient) error {
		i, err := c.Stat(ctx, &storagev1.StatRequest{Key: key})
		info = storagev1.InfoFrom(i)
		return err
	})
	return info, err
}

// Delete is one call for each 1,000 keys.
func (d *Driver) Delete(ctx context.Context, keys ...string) error {
	const op, most = "delete", 1000
	var errs []error
	for len(keys) > 0 {
		batch := keys[:min(most, len(keys))]
		keys = keys[len(batch):]
		r := &storagev1.DeleteRequest{}
		for _, key := range batch {
			if err := d.check(op, key); err != nil {
				errs = append(errs, err)
				continue
			}
			r.Keys = append(r.Keys, key)
		}
		if len(r.GetKeys()) == 0 {
			continue
		}
		var answer *storagev1.DeleteResponse
		err := d.call(ctx, op, r.GetKeys()[0], func(c storagev1.StorageClient) (err error) {
			answer, err = c.Delete(ctx, r)
			return err
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			for _, key := range r.GetKeys() {
				errs = append(errs, &drivers.Error{Op: op, Driver: d.about.GetName(), Key: key, Kind: kindOf(err), Err: causeOf(err)})
			}
		}
		for _, f := range answer.GetFailures() {
			errs = append(errs, storagev1.ErrorOf(f))
		}
	}
	return errors.Join(errs...)
}

// kindOf is the kind of an error of the driver.
func kindOf(err error) error {
	var e *drivers.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return nil
}

// causeOf is an error of the driver without its place.
func causeOf(err error) error {
	var e *drivers.Error
	if errors.As(err, &e) && e.Err != nil {
		return e.Err
	}
	return err
}

// List is one message back and forth for each 1,000 entries that the caller takes.
func (d *Driver) List(ctx context.Context, prefix, after, delimiter string) iter.Seq2[drivers.Entry, error] {
	return func(yield func(drivers.Entry, error) bool) {
		const op = "list"
		p, err := d.keeper.running(ctx)
		if err != nil {
			yield(drivers.Entry{}, d.fail(ctx, nil, op, prefix, err))
			return
		}
		calling, stop := context.WithCancel(ctx)
		defer stop()
		r := &storagev1.ListRequest{Prefix: []byte(prefix), After: []byte(after), Delimiter: []byte(delimiter)}
		stream, err := p.calls.List(calling)
		for err == nil {
			if err = stream.Send(r); err != nil && !errors.Is(err, io.EOF) { // of an io.EOF, Recv tells the reason
				break
			}
			var page *storagev1.ListResponse
			if page, err = stream.Recv(); err != nil {
				break
			}
			for _, e := range page.GetEntries() {
				if ctx.Err() != nil {
					yield(drivers.Entry{}, ctx.Err())
					return
				}
				entry := drivers.Entry{Key: string(e.GetKey()), IsPrefix: e.GetIsPrefix()}
				if !entry.IsPrefix {
					entry.Info = storagev1.InfoFrom(e.GetInfo())
				}
				if !yield(entry, nil) {
					return
				}
			}
			if page.GetLast() {
				return
			}
			r = &storagev1.ListRequest{}
		}
		yield(drivers.Entry{}, d.fail(ctx, p, op, prefix, err))
	}
}

// extras has the methods that Extras hands out.
type extras struct{ d *Driver }

func (x extras) PutIfAbsent(ctx context.Context, key string, body []byte) error {
	return x.d.put(ctx, "putifabsent", &storagev1.PutRequest{Key: key, Body: body, Condition: &storagev1.PutRequest_IfAbsent{IfAbsent: true}})
}

func (x extras) PutIfMatch(ctx context.Context, key string, body []byte, etag string) error {
	return x.d.put(ctx, "putifmatch", &storagev1.PutRequest{Key: key, Body: body, Condition: &storagev1.PutRequest_IfMatch{IfMatch: []byte(etag)}})
}

func (x extras) SignURL(ctx context.Context, key string, ttl time.Duration) (url string, err error) {
	if err := x.d.check("signurl", key); err != nil {
		return "", err
	}
	err = x.d.call(ctx, "signurl", key, func(c storagev1.StorageClient) error {
		r, err := c.SignURL(ctx, &storagev1.SignURLRequest{Key: key, LifeNanos: int64(ttl)})
		url = r.GetUrl()
		return err
	})
	return url, err
}

func (x extras) Leftovers(ctx context.Context) iter.Seq2[drivers.Leftover, error] {
	return func(yield func(drivers.Leftover, error) bool) {
		p, err := x.d.keeper.running(ctx)
		if err != nil {
			yield(drivers.Leftover{}, x.d.fail(ctx, nil, "leftovers", "", err))
			return
		}
		calling, stop := context.WithCancel(ctx)
		defer stop()
		stream, err := p.calls.Leftovers(calling, &storagev1.LeftoversRequest{})
		for err == nil {
			var l *storagev1.Leftover
			if l, err = stream.Recv(); err == nil && !yield(storagev1.LeftoverFrom(l), nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(drivers.Leftover{}, x.d.fail(ctx, p, "leftovers", "", err))
		}
	}
}

func (x extras) Drop(ctx context.Context, l drivers.Leftover) error {
	return x.d.call(ctx, "drop", l.Key, func(c storagev1.StorageClient) error {
		_, err := c.Drop(ctx, storagev1.LeftoverTo(l))
		return err
	})
}
