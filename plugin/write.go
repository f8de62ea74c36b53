package plugin

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// writing is the plugin's end of a Write.
type writing = grpc.BidiStreamingServer[storagev1.WriteRequest, storagev1.WriteResponse]

// Write is one Writer. What fails in it is told in a message, so that the Writer can still be cancelled.
func (s *server) Write(stream writing) error {
	d, _, err := s.driver()
	if err != nil {
		return err
	}
	id, w, err := begin(stream, d)
	if err != nil {
		return err
	}
	at := &writer{w: w, gone: make(chan struct{})}
	s.mu.Lock()
	s.writers[id] = at
	s.mu.Unlock()
	ended := false
	if err = ready(stream, w); err == nil {
		ended, err = follow(stream, w)
	}
	s.leave(id, ended)
	close(at.gone)
	return err
}

// unknownStep is the end of a Write with a step that came at the wrong time, or that a newer longshore has.
func unknownStep() error {
	return status.Errorf(codes.Unimplemented, "the plugin does not know this step of a Write; it speaks version %d of the contract", storagev1.Version)
}

// writer is a Writer and its Write.
type writer struct {
	w    drivers.Writer
	gone chan struct{} // closed when nothing comes over the Write any more
}

// leave notes that a Write has ended. A Writer that was neither suspended nor committed is kept for a Cancel. Its context has
// ended, so it holds nothing but what Cancel would drop in the backend.
func (s *server) leave(id string, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ended {
		delete(s.writers, id)
		return
	}
	s.broken = append(s.broken, id)
	if len(s.broken) > mostBroken {
		delete(s.writers, s.broken[0])
		s.broken = s.broken[1:]
	}
}

// ready answers that data can come.
func ready(stream writing, w drivers.Writer) error {
	return stream.Send(&storagev1.WriteResponse{Step: &storagev1.WriteResponse_Ready_{Ready: &storagev1.WriteResponse_Ready{Size: w.Size()}}})
}

// begin begins or resumes a Writer.
func begin(stream writing, d drivers.Driver) (id string, w drivers.Writer, err error) {
	r, err := stream.Recv()
	if err != nil {
		return "", nil, err
	}
	switch step := r.GetStep().(type) {
	case *storagev1.WriteRequest_Begin_:
		id = step.Begin.GetId()
		w, err = d.Writer(stream.Context(), step.Begin.GetKey(), step.Begin.GetSize())
	case *storagev1.WriteRequest_Resume_:
		id = step.Resume.GetId()
		state := step.Resume.GetState()
		for more := step.Resume.GetMore(); more; {
			r, err := stream.Recv()
			if err != nil {
				return "", nil, err
			}
			state = append(state, r.GetStateMore().GetState()...)
			more = r.GetStateMore().GetMore()
		}
		w, err = d.Resume(stream.Context(), step.Resume.GetKey(), state)
	default:
		return "", nil, unknownStep()
	}
	if err != nil {
		return "", nil, statusOf(err)
	}
	return id, w, nil
}

// follow does what comes over the stream. ended: the Writer has been suspended or committed.
func follow(stream writing, w drivers.Writer) (ended bool, err error) {
	fail := func(err error) (bool, error) {
		if stream.Context().Err() != nil {
			return false, statusOf(stream.Context().Err())
		}
		return false, stream.Send(&storagev1.WriteResponse{Step: &storagev1.WriteResponse_Failure{Failure: storagev1.FailureOf(err)}})
	}
	for {
		r, err := stream.Recv()
		if err != nil {
			return false, err
		}
		switch step := r.GetStep().(type) {
		case *storagev1.WriteRequest_Data:
			if _, err := w.Write(step.Data); err != nil {
				return fail(err)
			}
		case *storagev1.WriteRequest_Suspend_:
			state, err := w.Suspend(stream.Context())
			if err != nil {
				return fail(err)
			}
			return true, sendState(stream, state)
		case *storagev1.WriteRequest_Commit_:
			if err := w.Commit(stream.Context()); err != nil {
				return fail(err)
			}
			return true, stream.Send(&storagev1.WriteResponse{Step: &storagev1.WriteResponse_Committed_{Committed: &storagev1.WriteResponse_Committed{}}})
		default:
			return false, unknownStep()
		}
	}
}

// sendState sends a state in pieces.
func sendState(stream writing, state []byte) error {
	for {
		n := min(len(state), storagev1.PieceSize)
		piece := &storagev1.WriteResponse_Suspended{State: state[:n], More: n < len(state)}
		if err := stream.Send(&storagev1.WriteResponse{Step: &storagev1.WriteResponse_Suspended_{Suspended: piece}}); err != nil || !piece.More {
			return err
		}
		state = state[n:]
	}
}

// Cancel drops a Writer whose Write has broken off, or is about to.
func (s *server) Cancel(ctx context.Context, r *storagev1.CancelRequest) (*storagev1.CancelResponse, error) {
	s.mu.Lock()
	at := s.writers[r.GetId()]
	s.mu.Unlock()
	if at == nil {
		return &storagev1.CancelResponse{}, nil
	}
	select {
	case <-at.gone:
	case <-ctx.Done():
		return nil, statusOf(ctx.Err())
	}
	s.mu.Lock()
	delete(s.writers, r.GetId())
	s.mu.Unlock()
	return &storagev1.CancelResponse{}, statusOf(at.w.Cancel(ctx))
}
