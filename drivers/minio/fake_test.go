package minio

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/longshore-registry/longshore/internal/s3suite"
)

// fakeWith is a driver on a store that answers as h does.
func fakeWith(t *testing.T, h http.HandlerFunc, change func(*Config)) *Driver {
	t.Helper()
	return faked(t, s3suite.Fake(t, h), change)
}

// faked is a driver on the bucket registry of a store that never fails for long.
func faked(t *testing.T, endpoint string, change func(*Config)) *Driver {
	t.Helper()
	c := goodConfig()
	c.Endpoint, c.Attempts = endpoint, 2
	change(&c)
	d, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func TestAnswers(t *testing.T) {
	s3suite.Answers{Name: name, Open: func(t *testing.T, endpoint string, change s3suite.Change) s3suite.Driver {
		return faked(t, endpoint, func(c *Config) {
			c.ListVersion, c.Attempts = cmp.Or(change.ListVersion, c.ListVersion), cmp.Or(change.Attempts, c.Attempts)
			c.PublicEndpoint, c.BatchDelete = change.PublicEndpoint, !change.OneByOne
		})
	}}.Run(t)
}

// TestOpenSaysWhatIsWrong by answers that a healthy MinIO can't be made to give.
func TestOpenSaysWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		header map[string]string
		want   string
	}{
		"web page": {200, map[string]string{"Content-Type": "text/html; charset=utf-8"}, "endpoint: "},
		"clock": {403, map[string]string{"X-Minio-Error-Code": "RequestTimeTooSkewed", "Date": time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)},
			"the clock of this machine and that of the store differ too much (by 1h0m"},
		"region":   {400, map[string]string{"X-Minio-Error-Code": "AuthorizationHeaderMalformed", "X-Amz-Bucket-Region": "eu-1"}, `region: is "us-east-1", but the store says "eu-1"`},
		"rights":   {403, map[string]string{"X-Minio-Error-Code": "AccessDenied"}, "access_key: has no right"},
		"token":    {403, map[string]string{"X-Minio-Error-Code": "InvalidTokenId"}, "session_token: "},
		"redirect": {301, nil, "region: "},
		"teapot":   {418, nil, "endpoint: "},
		"no S3":    {400, nil, "secure: "},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range test.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(test.status)
		}))
		c := goodConfig()
		c.Endpoint = server.URL
		_, err := Open(t.Context(), c)
		server.Close()
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q first", name, err, test.want)
		}
	}
}
