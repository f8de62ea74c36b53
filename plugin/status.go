package plugin

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/longshore-registry/longshore/config"
	"github.com/longshore-registry/longshore/plugin/storagev1"
)

// statusOf is err as the end of a call.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	code := codes.Unknown
	switch {
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	return detailed(code, err, storagev1.FailureOf(err))
}

// openStatus is the failure of Open, with the problems of the configuration.
func openStatus(err error) error {
	all := &storagev1.Problems{}
	var problems config.Problems
	var setting blamed
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			all.Problems = append(all.Problems, problem(p.Path, p.Message, p.Hint))
		}
	case errors.As(err, &setting):
		all.Problems = append(all.Problems, problem(setting.path, setting.message, ""))
	default:
		return detailed(codes.FailedPrecondition, err, storagev1.FailureOf(err))
	}
	return detailed(codes.InvalidArgument, err, all, storagev1.FailureOf(err))
}

// problem is one for the wire.
func problem(path, message, hint string) *storagev1.Problem {
	return &storagev1.Problem{Path: storagev1.UTF8(path), Message: storagev1.UTF8(message), Hint: storagev1.UTF8(hint)}
}

// detailed is a status with messages in its details.
func detailed(code codes.Code, err error, details ...protoadapt.MessageV1) error {
	s, failed := status.New(code, storagev1.UTF8(err.Error())).WithDetails(details...)
	if failed != nil {
		return status.Error(codes.Internal, storagev1.UTF8(failed.Error()))
	}
	return s.Err()
}
