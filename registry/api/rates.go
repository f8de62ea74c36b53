package api

import (
	"net/http"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/time/rate"
)

// rates bounds how many requests each account and each address may make. Counters are of one process.
type rates struct {
	limit rate.Limit
	burst int
	of    *otter.Cache[string, *rate.Limiter]
}

// maxRates bounds what is kept, by number. Whoever drops out begins anew.
const maxRates = 50_000

// newRates is nil if there is no bound.
func newRates(o Rate) *rates {
	if o.PerSecond <= 0 {
		return nil
	}
	// The options are valid, so there is no error.
	of, _ := otter.New(&otter.Options[string, *rate.Limiter]{MaximumSize: maxRates})
	return &rates{rate.Limit(o.PerSecond), max(o.Burst, 1), of}
}

// spend takes a request from what who has left, or returns the answer of 429. who is the name of an account, "" for none, or an address.
func (l *rates) spend(w http.ResponseWriter, who string) error {
	if l == nil || who == "" {
		return nil
	}
	limiter, ok := l.of.GetIfPresent(who)
	if !ok {
		limiter, _ = l.of.SetIfAbsent(who, rate.NewLimiter(l.limit, l.burst))
	}
	now := time.Now()
	taken := limiter.ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	taken.CancelAt(now)
	return tooMany(w, wait, "too many requests (access.rate)")
}
