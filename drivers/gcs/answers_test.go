package gcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/longshore-registry/longshore/drivers"
	"github.com/longshore-registry/longshore/drivers/internal/parts"
)

// body writes an answer to a GET of all of "0123456789", or of its rest.
func body(w http.ResponseWriter, r *http.Request, text string) {
	h := w.Header()
	h.Set("X-Goog-Generation", "7")
	h.Set("X-Goog-Hash", "crc32c="+parts.SumCRC32C.Of([]byte("0123456789")).CRC32C)
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", new(int)); err == nil {
		from := len("0123456789") - len(text)
		h.Set("Content-Range", fmt.Sprintf("bytes %d-9/10", from))
		h.Set("Content-Length", fmt.Sprint(len(text)))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		h.Set("Content-Length", "10")
	}
	_, _ = io.WriteString(w, text)
}

// breakOff ends the connection after what was written.
func breakOff(w http.ResponseWriter) {
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// readAll is what Reader gives of a/b.
func readAll(t *testing.T, d *Driver) (string, error) {
	t.Helper()
	r, info, err := d.Reader(t.Context(), "a/b", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size != 10 || info.ETag != "7" {
		t.Errorf("facts %+v", info)
	}
	got, err := io.ReadAll(r)
	return string(got), errors.Join(err, r.Close())
}

func TestReadChecksTheSum(t *testing.T) {
	for text, want := range map[string]error{"0123456789": nil, "0123456780": drivers.ErrCorrupt} {
		d := fake(t, func(w http.ResponseWriter, r *http.Request) { body(w, r, text) }, nil)
		if _, err := readAll(t, d); !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A body that breaks off is asked for again, of the same generation, and not for ever.
func TestBodyThatBreaksOff(t *testing.T) {
	for _, test := range []struct {
		name  string
		rest  func(w http.ResponseWriter, r *http.Request)
		want  error
		calls int64
	}{
		{"and goes on", func(w http.ResponseWriter, r *http.Request) { body(w, r, "56789") }, nil, 2},
		{"again and again", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			w.Header().Set("Content-Range", "bytes 5-9/10")
			w.WriteHeader(http.StatusPartialContent)
			breakOff(w)
		}, drivers.ErrThrottled, 2},
		{"and was replaced", func(w http.ResponseWriter, _ *http.Request) { fails(w, http.StatusNotFound, "notFound") }, drivers.ErrThrottled, 2},
		{"and is refused", func(w http.ResponseWriter, _ *http.Request) { fails(w, http.StatusForbidden, "forbidden") }, drivers.ErrDenied, 2},
	} {
		var calls atomic.Int64
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) == 1 {
				body(w, r, "01234")
				breakOff(w)
			}
			if r.Header.Get("Range") != "bytes=5-" || r.URL.Query().Get("generation") != "7" {
				t.Errorf("%s: asked for %q of %s", test.name, r.Header.Get("Range"), r.URL)
			}
			test.rest(w, r)
		}, nil)
		got, err := readAll(t, d)
		if !errors.Is(err, test.want) || err == nil && got != "0123456789" || calls.Load() != test.calls {
			t.Errorf("%s: %q, %v after %d requests", test.name, got, err, calls.Load())
		}
	}
}

// Answers that a proxy or a server of another kind may give.
func TestAnswersWithoutFacts(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no generation": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "0123") },
		"no length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Goog-Generation", "7")
			_, _ = io.WriteString(w, "01")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "23")
		},
		"all in place of a range": func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			body(w, r, "0123456789")
		},
	} {
		d := fake(t, answer, nil)
		if _, _, err := d.Reader(t.Context(), "a/b", 0, 4); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// sent is a request that makes an object.
type sent struct {
	url      string
	agent    string
	encoding string
	resource map[string]any
}

// What the configuration says of objects is in each request that makes one, and nothing that would let the service change bytes.
func TestWritesCarryTheSettings(t *testing.T) {
	const key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
	var mu sync.Mutex
	all := map[string]sent{}
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			_, _ = io.WriteString(w, `{"generation":"5"}`)
			return
		}
		what, length, from := "compose", 0, io.Reader(r.Body)
		if strings.HasPrefix(r.URL.Path, "/upload/") {
			what = "upload"
			_, boundary, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
			if err == nil {
				from, err = multipart.NewReader(r.Body, boundary["boundary"]).NextPart()
			}
			if err != nil {
				t.Error(err)
			}
		}
		s := sent{url: r.URL.String(), agent: r.UserAgent(), encoding: r.Header.Get("Content-Encoding")}
		if err := json.NewDecoder(from).Decode(&s.resource); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if d, ok := s.resource["destination"].(map[string]any); ok {
			s.resource, length = d, parts.MinPart+1
		}
		name, _ := s.resource["name"].(string)
		switch {
		case strings.HasSuffix(name, "/mark"):
			what = "mark"
		case strings.Contains(name, "~"):
			what = "part"
		}
		mu.Lock()
		all[what] = s
		mu.Unlock()
		_, _ = fmt.Fprintf(w, `{"generation":"5","size":"%d"}`, length)
	}, func(c *Config) {
		c.StorageClass, c.KMSKey, c.UserProject, c.UserAgent, c.PartSize = "NEARLINE", key, "payer", "tests/1", parts.MinPart
	})
	if err := d.Put(t.Context(), "a/b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	w, err := d.Writer(t.Context(), "a/c", -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, parts.MinPart+1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, class := range map[string]any{"upload": nil, "mark": nil, "part": "NEARLINE", "compose": "NEARLINE"} {
		s := all[what]
		if s.resource["storageClass"] != class {
			t.Errorf("%s: class %v, want %v", what, s.resource["storageClass"], class)
		}
		if s.resource["contentType"] != "application/octet-stream" || s.resource["contentEncoding"] != nil || s.encoding != "" {
			t.Errorf("%s: resource %v, Content-Encoding %q", what, s.resource, s.encoding)
		}
		if !strings.Contains(s.url, "userProject=payer") || !strings.Contains(s.agent, "tests/1") {
			t.Errorf("%s: %s by %q", what, s.url, s.agent)
		}
		if s.resource["kmsKeyName"] != key && !strings.Contains(s.url, "kmsKeyName="+strings.ReplaceAll(key, "/", "%2F")) {
			t.Errorf("%s: key %v, %s", what, s.resource["kmsKeyName"], s.url)
		}
	}
}

// A write that was damaged on the way is sent again.
func TestDamagedOnTheWay(t *testing.T) {
	for _, times := range []int64{1, 2} {
		var calls atomic.Int64
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if calls.Add(1) <= times {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":{"code":400,"message":"Provided CRC32C \"AAAA\" doesn't match calculated CRC32C \"BBBB\".","errors":[{"reason":"invalid"}]}}`)
				return
			}
			_, _ = io.WriteString(w, `{"generation":"5"}`)
		}, nil)
		err := d.Put(t.Context(), "a/b", []byte("x"))
		if times == 1 && err != nil || times == 2 && !errors.Is(err, drivers.ErrCorrupt) {
			t.Errorf("damaged %d times: %v", times, err)
		}
	}
}

// TestPublish tries what compose may say of the object's name, and what may be there. The emulator knows no conditions of compose.
func TestPublish(t *testing.T) {
	list := []parts.Part{{Number: 2, Size: 10, ETag: "x"}, {Number: 3, Size: 1, ETag: "y"}}
	for _, test := range []struct {
		name     string
		statuses []int // of compose, one after another
		there    func(asked map[string]any) (generation int, metadata map[string]any)
		want     error
		asked    []string // ifGenerationMatch
	}{
		{"nothing there", []int{200}, nil, nil, []string{"0"}},
		{"another's object", []int{412, 200}, func(map[string]any) (int, map[string]any) { return 9, nil }, nil, []string{"0", "9"}},
		{"an object that goes", []int{412, 200}, func(map[string]any) (int, map[string]any) { return 0, nil }, nil, []string{"0", "0"}},
		{"the answer was lost", []int{503, 412}, func(asked map[string]any) (int, map[string]any) { return 9, asked }, nil, []string{"0", "0"}},
		{"the answer was lost, and the parts are gone", []int{503, 404}, func(asked map[string]any) (int, map[string]any) { return 9, asked }, nil, []string{"0", "0"}},
		{"committed by another", []int{412}, func(map[string]any) (int, map[string]any) {
			return 9, map[string]any{streamKey: "ID", markKey: "another"}
		}, drivers.ErrPrecondition, []string{"0"}},
		{"dropped", []int{404}, nil, drivers.ErrPrecondition, []string{"0"}},
		{"dropped, beside another's object", []int{404}, func(map[string]any) (int, map[string]any) { return 9, nil }, drivers.ErrPrecondition, []string{"0"}},
		{"refused", []int{403}, nil, drivers.ErrDenied, []string{"0"}},
		{"busy", []int{503, 503}, nil, drivers.ErrThrottled, []string{"0", "0"}},
	} {
		var asked []string
		var metadata map[string]any
		statuses := test.statuses
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				generation := 0
				var there map[string]any
				if test.there != nil {
					generation, there = test.there(metadata)
				}
				if generation == 0 {
					fails(w, http.StatusNotFound, "notFound")
					return
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"name": "a/b", "generation": fmt.Sprint(generation), "metadata": there})
				return
			}
			var in struct {
				DeleteSourceObjects bool
				Destination         struct{ Metadata map[string]any }
			}
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !in.DeleteSourceObjects || in.Destination.Metadata[streamKey] != "ID" {
				t.Errorf("%s: compose %+v, %v", test.name, in, err)
			}
			asked, metadata = append(asked, r.URL.Query().Get("ifGenerationMatch")), in.Destination.Metadata
			status := statuses[0]
			statuses = statuses[1:]
			if status != http.StatusOK {
				fails(w, status, "madeByTheTest")
				return
			}
			_, _ = io.WriteString(w, `{"generation":"10","size":"11"}`)
		}, nil)
		err := fail(t.Context(), "commit", "a/b", store{d}.publish(t.Context(), "a/b", "ID.5", list))
		if !errors.Is(err, test.want) || !slices.Equal(asked, test.asked) {
			t.Errorf("%s: %v, asked for %q, want %v, %q", test.name, err, asked, test.want, test.asked)
		}
	}
}

// An intermediate object whose answer was lost is known again.
func TestFoldWithALostAnswer(t *testing.T) {
	list := []parts.Part{{Number: 2, Size: 10, ETag: "x"}, {Number: 3, Size: 1, ETag: "y"}}
	for status, size := range map[int]string{http.StatusPreconditionFailed: "11", http.StatusNotFound: "11"} {
		calls := 0
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				_, _ = fmt.Fprintf(w, `{"name":"n","generation":"5","size":%q}`, size)
				return
			}
			calls++
			fails(w, []int{http.StatusServiceUnavailable, status}[calls-1], "madeByTheTest")
		}, nil)
		one, err := store{d}.Fold(t.Context(), "a/b", "ID.5", list, false)
		if err != nil || one.Size != 11 || one.Number != 2 {
			t.Errorf("%d: %+v, %v", status, one, err)
		}
	}
}

// Open asks with no more than the credentials; a part that is there already was sent by an attempt before.
func TestPartThatIsThere(t *testing.T) {
	calls := 0
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		calls++
		fails(w, []int{http.StatusServiceUnavailable, http.StatusPreconditionFailed}[calls-1], "madeByTheTest")
	}, nil)
	if etag, err := (store{d}).SendPart(t.Context(), "a/b", "ID.5", 2, []byte("x"), parts.Sums{}); err != nil || etag == "" {
		t.Errorf("%q, %v", etag, err)
	}
}
