package plugin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// firstPage and pageSize are how many entries of a listing go into one message: few at first, since whoever wants a hundred
// should not make the backend list a thousand.
const (
	firstPage = 100
	pageSize  = 1000
)

// mostBroken is how many Writers whose Write has broken off are kept for a Cancel that may come.
const mostBroken = 1000

// server is a driver for a process elsewhere.
type server struct {
	storagev1.UnimplementedStorageServer
	opener func(ctx context.Context, settings string) (opened, error)

	mu      sync.Mutex
	at      *opened
	x       drivers.Extras
	writers map[string]*writer // those under way, and those whose Write has broken off
	broken  []string           // ids of the latter, the oldest first
	pieces  sync.Pool
}

func newServer(opener func(context.Context, string) (opened, error)) *server {
	return &server{opener: opener, writers: make(map[string]*writer), pieces: sync.Pool{New: func() any {
		b := make([]byte, storagev1.PieceSize)
		return &b
	}}}
}

// close closes the driver, if it was opened and can be.
func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		return
	}
	switch d := s.at.driver.(type) {
	case interface{ Close() }:
		d.Close()
	case io.Closer:
		if err := d.Close(); err != nil {
			slog.Warn("closing the store", "error", err)
		}
	}
}

// Open opens the driver.
func (s *server) Open(ctx context.Context, r *storagev1.OpenRequest) (*storagev1.OpenResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at != nil {
		return nil, status.Error(codes.FailedPrecondition, "the plugin is open already")
	}
	at, err := s.opener(ctx, r.GetConfig())
	if err != nil {
		return nil, openStatus(err)
	}
	s.at, s.x = &at, drivers.ExtrasOf(at.driver)
	answer := &storagev1.OpenResponse{Name: storagev1.UTF8(at.name), PutIfAbsent: s.x.Absent != nil, PutIfMatch: s.x.Match != nil, SignUrl: s.x.Signer != nil, Sweep: s.x.Sweep != nil}
	if i, ok := at.driver.(interface{ Identity() string }); ok {
		answer.Identity = storagev1.UTF8(i.Identity())
	}
	return answer, nil
}

// driver is the one that Open has opened.
func (s *server) driver() (drivers.Driver, drivers.Extras, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at == nil {
		return nil, drivers.Extras{}, status.Error(codes.FailedPrecondition, "the plugin has not been opened")
	}
	return s.at.driver, s.x, nil
}

var errNoExtra = status.Error(codes.Unimplemented, "the driver can't do that")

func (s *server) Read(r *storagev1.ReadRequest, out grpc.ServerStreamingServer[storagev1.ReadResponse]) error {
	d, _, err := s.driver()
	if err != nil {
		return err
	}
	body, info, err := d.Reader(out.Context(), r.GetKey(), r.GetOffset(), r.GetLength())
	if err != nil {
		return statusOf(err)
	}
	defer func() { _ = body.Close() }() // Read has told of what failed
	if err := out.Send(&storagev1.ReadResponse{Info: storagev1.InfoTo(info)}); err != nil {
		return err
	}
	piece := s.pieces.Get().(*[]byte)
	defer s.pieces.Put(piece) // Send has no use of it once it has returned
	for {
		n, err := fill(body, *piece)
		if n > 0 {
			if err := out.Send(&storagev1.ReadResponse{Data: (*piece)[:n]}); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return statusOf(err)
		}
	}
}

// fill reads until p is full or r has an error, which it returns as it is: io.ReadFull can't tell a body that has ended from one that was cut off.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	return n, err
}

func (s *server) Put(ctx context.Context, r *storagev1.PutRequest) (*storagev1.PutResponse, error) {
	d, x, err := s.driver()
	if err != nil {
		return nil, err
	}
	switch on := r.GetCondition().(type) {
	case nil:
		err = d.Put(ctx, r.GetKey(), r.GetBody())
	case *storagev1.PutRequest_IfAbsent:
		if x.Absent == nil {
			return nil, errNoExtra
		}
		err = x.Absent.PutIfAbsent(ctx, r.GetKey(), r.GetBody())
	case *storagev1.PutRequest_IfMatch:
		if x.Match == nil {
			return nil, errNoExtra
		}
		err = x.Match.PutIfMatch(ctx, r.GetKey(), r.GetBody(), string(on.IfMatch))
	}
	return &storagev1.PutResponse{}, statusOf(err)
}

func (s *server) Stat(ctx context.Context, r *storagev1.StatRequest) (*storagev1.Info, error) {
	d, _, err := s.driver()
	if err != nil {
		return nil, err
	}
	info, err := d.Stat(ctx, r.GetKey())
	if err != nil {
		return nil, statusOf(err)
	}
	return storagev1.InfoTo(info), nil
}

func (s *server) List(stream grpc.BidiStreamingServer[storagev1.ListRequest, storagev1.ListResponse]) error {
	d, _, err := s.driver()
	if err != nil {
		return err
	}
	r, err := stream.Recv()
	if err != nil {
		return err
	}
	page, size := &storagev1.ListResponse{}, firstPage
	for e, err := range d.List(stream.Context(), string(r.GetPrefix()), string(r.GetAfter()), string(r.GetDelimiter())) {
		if err != nil {
			if len(page.Entries) > 0 { // what came before it
				if err := stream.Send(page); err != nil {
					return err
				}
			}
			return statusOf(err)
		}
		page.Entries = append(page.Entries, &storagev1.Entry{Key: []byte(e.Key), IsPrefix: e.IsPrefix, Info: storagev1.InfoTo(e.Info)})
		if len(page.Entries) < size {
			continue
		}
		if err := stream.Send(page); err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil { // until more is wanted
			return err
		}
		page, size = &storagev1.ListResponse{}, pageSize
	}
	page.Last = true
	return stream.Send(page)
}

func (s *server) Delete(ctx context.Context, r *storagev1.DeleteRequest) (*storagev1.DeleteResponse, error) {
	d, _, err := s.driver()
	if err != nil {
		return nil, err
	}
	err = d.Delete(ctx, r.GetKeys()...)
	if err == nil {
		return &storagev1.DeleteResponse{}, nil
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		if _, one := err.(*drivers.Error); !one {
			all = joined.Unwrap()
		}
	}
	answer := &storagev1.DeleteResponse{}
	for _, one := range all {
		var e *drivers.Error
		if !errors.As(one, &e) {
			return nil, statusOf(err) // a context's, or nothing of single keys
		}
		answer.Failures = append(answer.Failures, storagev1.FailureOf(one))
	}
	return answer, nil
}

func (s *server) SignURL(ctx context.Context, r *storagev1.SignURLRequest) (*storagev1.SignURLResponse, error) {
	_, x, err := s.driver()
	if err != nil {
		return nil, err
	}
	if x.Signer == nil {
		return nil, errNoExtra
	}
	url, err := x.Signer.SignURL(ctx, r.GetKey(), time.Duration(r.GetLifeNanos()))
	return &storagev1.SignURLResponse{Url: storagev1.UTF8(url)}, statusOf(err)
}

func (s *server) Leftovers(_ *storagev1.LeftoversRequest, out grpc.ServerStreamingServer[storagev1.Leftover]) error {
	_, x, err := s.driver()
	if err != nil {
		return err
	}
	if x.Sweep == nil {
		return errNoExtra
	}
	for l, err := range x.Sweep.Leftovers(out.Context()) {
		if err != nil {
			return statusOf(err)
		}
		if err := out.Send(storagev1.LeftoverTo(l)); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) Drop(ctx context.Context, l *storagev1.Leftover) (*storagev1.DropResponse, error) {
	_, x, err := s.driver()
	if err != nil {
		return nil, err
	}
	if x.Sweep == nil {
		return nil, errNoExtra
	}
	return &storagev1.DropResponse{}, statusOf(x.Sweep.Drop(ctx, storagev1.LeftoverFrom(l)))
}
