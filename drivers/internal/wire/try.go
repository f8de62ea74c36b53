package wire

import (
	"context"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"strings"
	"time"
)

// Try calls f until it succeeds, fails with an error that is not retryable, or has been called attempts times, and returns
// how often it was called. A ctx that ends is returned as its own error.
func Try(ctx context.Context, attempts int, retryable func(error) bool, f func() error) (calls int, err error) {
	for calls = 1; ; calls++ {
		if ctx.Err() != nil {
			return calls, ctx.Err()
		}
		err = f()
		if err == nil {
			return calls, nil
		}
		if ctx.Err() != nil {
			return calls, ctx.Err()
		}
		if calls == attempts || !retryable(err) {
			return calls, err
		}
		if err := Pause(ctx, calls); err != nil {
			return calls, err
		}
	}
}

// Pause waits for as long as is right after calls attempts: 25 to 50 ms, 50 to 100 ms, … 1 to 2 s. The error is that of a ctx that has ended.
func Pause(ctx context.Context, calls int) error {
	wait := 2 * time.Second
	if calls < 7 {
		wait = min(50*time.Millisecond<<(calls-1), wait)
	}
	timer := time.NewTimer(wait/2 + rand.N(wait/2))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Permanent reports whether a failure below HTTP will be the same the next time: a certificate that is not
// trusted stays so.
func Permanent(err error) bool {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var certificate x509.CertificateInvalidError
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &certificate) ||
		strings.Contains(err.Error(), PlainAnswer)
}

// PlainAnswer is what net/http says when a TLS client meets a plain server.
const PlainAnswer = "server gave HTTP response to HTTPS client"
