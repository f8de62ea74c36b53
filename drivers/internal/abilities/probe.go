package abilities

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

// probe sends requests and knows what they have made.
type probe struct {
	Store
	client  *http.Client
	objects []string
	uploads []upload
}

type upload struct{ full, id string }

// request is one to the store.
type request struct {
	operation string // for Store.Headers; "" for those that need none
	method    string
	full      string // "" for the bucket
	query     url.Values
	header    map[string]string
	body      []byte
	sum       string // X-Amz-Content-Sha256; "" for that of body
}

// answer is what came back.
type answer struct {
	status int
	code   string // of S3's error, "" if there is none
	header http.Header
	body   []byte
	err    error // there is no answer
}

func (a answer) good() bool { return a.err == nil && a.status/100 == 2 && a.code == "" }

// unclear is an answer that tells of the moment, or of rights, but not of what the store can do.
func (a answer) unclear() bool {
	return a.err != nil || a.status == http.StatusForbidden || a.status == http.StatusUnauthorized ||
		a.status >= 500 && a.status != http.StatusNotImplemented
}

// String says what the store answered.
func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.status, cmp.Or(a.code, http.StatusText(a.status))))
}

// errBusy is an answer after which a request is sent again.
var errBusy = errors.New("busy")

// attempts is how often a request is sent to a store that is busy.
const attempts = 5

// do sends r, again if the store is busy.
func (p *probe) do(ctx context.Context, r request) answer {
	var got answer
	_, err := wire.Try(ctx, attempts, func(err error) bool { return errors.Is(err, errBusy) }, func() error {
		got = p.once(ctx, r)
		if got.status == http.StatusServiceUnavailable || got.status == http.StatusTooManyRequests {
			return errBusy
		}
		return got.err
	})
	if err != nil && !errors.Is(err, errBusy) {
		return answer{err: err}
	}
	return got
}

// answerLimit is more bytes than an answer has whose body matters.
const answerLimit = 1 << 20

func (p *probe) once(ctx context.Context, r request) answer {
	u, err := p.URL(ctx, r.full)
	if err != nil {
		return answer{err: err}
	}
	u.RawQuery = r.query.Encode()
	out, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return answer{err: err}
	}
	if p.Headers != nil && r.operation != "" {
		for name, value := range p.Headers(r.operation) {
			out.Header.Set(name, value)
		}
	}
	for name, value := range r.header {
		out.Header.Set(name, value)
	}
	sum := r.sum
	if sum == "" {
		hash := sha256.Sum256(r.body)
		sum = hex.EncodeToString(hash[:])
	}
	out.Header.Set("X-Amz-Content-Sha256", sum)
	if err := p.Sign(ctx, out); err != nil {
		return answer{err: err}
	}
	in, err := p.client.Do(out)
	if err != nil {
		return answer{err: err}
	}
	body, err := io.ReadAll(io.LimitReader(in.Body, answerLimit))
	if err = errors.Join(err, in.Body.Close()); err != nil {
		return answer{err: err}
	}
	got := answer{status: in.StatusCode, header: in.Header, body: body}
	// CopyObject and CompleteMultipartUpload may fail after they have said 200.
	var failure struct {
		XMLName xml.Name
		Code    string
	}
	if xml.Unmarshal(body, &failure) == nil && failure.XMLName.Local == "Error" {
		got.code = failure.Code
	}
	return got
}

// put makes an object.
func (p *probe) put(ctx context.Context, full string, body []byte, header map[string]string) answer {
	p.objects = append(p.objects, full)
	return p.do(ctx, request{operation: opPut, method: http.MethodPut, full: full, header: header, body: body})
}

// get reads a small object.
func (p *probe) get(ctx context.Context, full string) answer {
	return p.do(ctx, request{operation: opGet, method: http.MethodGet, full: full})
}

// etag puts an object and returns its ETag as the store has it, in quotes. false: that can't be done, and a says so.
func (p *probe) etag(ctx context.Context, full string) (etag string, got answer, ok bool) {
	got = p.put(ctx, full, []byte("there already"), nil)
	return got.header.Get("ETag"), got, got.good()
}

// begin begins a multipart upload.
func (p *probe) begin(ctx context.Context, full string, header map[string]string) (id string, got answer) {
	p.objects = append(p.objects, full)
	got = p.do(ctx, request{operation: opCreate, method: http.MethodPost, full: full, query: url.Values{"uploads": {""}}, header: header})
	var begun struct{ UploadId string }
	if !got.good() {
		return "", got
	}
	if err := xml.Unmarshal(got.body, &begun); err != nil || begun.UploadId == "" {
		return "", answer{err: fmt.Errorf("an upload without an id: %w", err)}
	}
	p.uploads = append(p.uploads, upload{full, begun.UploadId})
	return begun.UploadId, got
}

// part is what CompleteMultipartUpload is told of one.
type part struct {
	XMLName       struct{} `xml:"Part"`
	PartNumber    int
	ETag          string
	ChecksumCRC32 string `xml:",omitempty"`
}

// sendParts sends parts of these sizes.
func (p *probe) sendParts(ctx context.Context, full, id string, header func(body []byte) map[string]string, sizes ...int) (list []part, got answer) {
	for i, size := range sizes {
		body := bytes.Repeat([]byte{byte('a' + i)}, size)
		r := request{
			operation: opPart, method: http.MethodPut, full: full, body: body,
			query: url.Values{"partNumber": {strconv.Itoa(i + 1)}, "uploadId": {id}},
		}
		if header != nil {
			r.header = header(body)
		}
		if got = p.do(ctx, r); !got.good() {
			return nil, got
		}
		list = append(list, part{PartNumber: i + 1, ETag: got.header.Get("ETag")})
	}
	return list, got
}

// complete ends an upload.
func (p *probe) complete(ctx context.Context, full, id string, list []part, header map[string]string) answer {
	body, err := xml.Marshal(struct {
		XMLName struct{} `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUpload"`
		Parts   []part
	}{Parts: list})
	if err != nil {
		return answer{err: err}
	}
	return p.do(ctx, request{operation: opComplete, method: http.MethodPost, full: full, query: url.Values{"uploadId": {id}}, header: header, body: body})
}

// assembled begins an upload of parts of these sizes and completes it.
func (p *probe) assembled(ctx context.Context, full string, header map[string]string, sizes ...int) (id string, list []part, got answer) {
	id, got = p.begin(ctx, full, nil)
	if !got.good() {
		return id, nil, got
	}
	list, got = p.sendParts(ctx, full, id, nil, sizes...)
	if !got.good() {
		return id, list, got
	}
	return id, list, p.complete(ctx, full, id, list, header)
}

// list returns the names below prefix.
func (p *probe) list(ctx context.Context, prefix string) (names []string, got answer) {
	got = p.do(ctx, request{method: http.MethodGet, query: url.Values{"list-type": {"2"}, "prefix": {prefix}}})
	var page struct {
		Contents []struct{ Key string }
	}
	if err := xml.Unmarshal(got.body, &page); got.good() && err != nil {
		return nil, answer{err: err}
	}
	for _, o := range page.Contents {
		names = append(names, o.Key)
	}
	return names, got
}

// removeAll removes what was made. What can't be removed the caller finds in a listing.
func (p *probe) removeAll(ctx context.Context) {
	ctx, stop := context.WithTimeout(ctx, limit)
	defer stop()
	for _, u := range p.uploads {
		p.do(ctx, request{method: http.MethodDelete, full: u.full, query: url.Values{"uploadId": {u.id}}})
	}
	for _, full := range p.objects {
		p.do(ctx, request{method: http.MethodDelete, full: full})
	}
}

// md5Of is the header Content-MD5.
func md5Of(body []byte) string {
	sum := md5.Sum(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}
