package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/longshore-registry/longshore/registry/api"
)

// basic asks for ann's password.
func basic(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "ann" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func TestBasic(t *testing.T) {
	to := serve(t, api.Options{}, basic)
	for _, c := range []struct{ user, password, want string }{
		{"", "", "asks for a user"}, {"ann", "wrong", "refuses the user"}, {"ann", "secret", ""},
	} {
		to.User, to.Password = c.user, c.password
		o := short(to)
		o.Work = []string{"push"}
		r, err := Run(t.Context(), o, Watch{})
		if c.want == "" && (err != nil || r.Failed() > 0 || len(r.Left) > 0) {
			t.Errorf("%s: %v, %d failed, left %v", c.password, err, r.Failed(), r.Left)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s:%s: %v, want an error with %q", c.user, c.password, err, c.want)
		}
	}
}

// TestTokens has tokens that are good for 20 requests each: a run that takes longer than a token lives gets another.
func TestTokens(t *testing.T) {
	var given, used atomic.Int64
	tokens := httptest.NewServer(basic(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if scopes := r.URL.Query()["scope"]; len(scopes) != 2 || !strings.HasSuffix(scopes[0], ":pull,push,delete") || r.URL.Query().Get("service") != "here" {
			t.Errorf("asked for %v", r.URL.Query())
		}
		_, _ = fmt.Fprintf(w, `{"token": "t%d"}`, given.Add(1))
	})))
	t.Cleanup(tokens.Close)
	to := serve(t, api.Options{}, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != fmt.Sprintf("Bearer t%d", used.Load()/20+1) {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="here"`, tokens.URL))
				http.Error(w, "who?", http.StatusUnauthorized)
				return
			}
			used.Add(1)
			next.ServeHTTP(w, r)
		})
	})
	to.User, to.Password = "ann", "secret"
	o := short(to)
	o.Work, o.Clients = []string{"push"}, 1 // with more, tokens would be counted that nobody has
	r, err := Run(t.Context(), o, Watch{})
	if err != nil || r.Failed() > 0 {
		t.Fatalf("%v, %d failed: %v", err, r.Failed(), r.Results)
	}
	if given.Load() < 5 {
		t.Errorf("%d tokens for %d requests", given.Load(), used.Load())
	}
}
