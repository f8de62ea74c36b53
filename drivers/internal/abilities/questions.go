package abilities

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/longshore-registry/longshore/drivers"
)

// noETag is one that no object has.
const noETag = `"00000000000000000000000000000000"`

// small and least are sizes of parts in bytes, below and at S3's smallest.
const (
	small = 1 << 20
	least = 5 << 20
)

// conditions are those on requests that write a small object or remove one.
func conditions() []one {
	return []one{
		{"If-None-Match: * on PUT", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			if _, got, ok := p.etag(ctx, full); !ok {
				offered(a, got)
				return
			}
			refused(a, p.put(ctx, full, []byte("new"), map[string]string{"If-None-Match": "*"}), http.StatusPreconditionFailed, "the object was replaced")
		}},
		{"If-Match on PUT, another ETag", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			if _, got, ok := p.etag(ctx, full); !ok {
				offered(a, got)
				return
			}
			refused(a, p.put(ctx, full, []byte("new"), map[string]string{"If-Match": noETag}), http.StatusPreconditionFailed, "the object was replaced")
		}},
		{"If-Match on PUT, ETag in quotes", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			etag, got, ok := p.etag(ctx, full)
			if ok {
				got = p.put(ctx, full, []byte("new"), map[string]string{"If-Match": `"` + strings.Trim(etag, `"`) + `"`})
			}
			offered(a, got)
		}},
		{"If-Match on PUT, ETag without quotes", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			etag, got, ok := p.etag(ctx, full)
			if ok {
				got = p.put(ctx, full, []byte("new"), map[string]string{"If-Match": strings.Trim(etag, `"`)})
			}
			offered(a, got)
		}},
		{"conditional delete", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			if _, got, ok := p.etag(ctx, full); !ok {
				offered(a, got)
				return
			}
			refused(a, p.do(ctx, request{method: http.MethodDelete, full: full, header: map[string]string{"If-Match": noETag}}),
				http.StatusPreconditionFailed, "If-Match with another ETag: the object was removed")
		}},
	}
}

// multipart is what concerns multipart uploads.
func multipart() []one {
	return []one{
		{"conditional multipart", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			if _, got, ok := p.etag(ctx, full); !ok {
				offered(a, got)
				return
			}
			_, _, got := p.assembled(ctx, full, map[string]string{"If-None-Match": "*"}, 10)
			refused(a, got, http.StatusPreconditionFailed, "CompleteMultipartUpload with If-None-Match: * replaced an object")
		}},
		{"conditional multipart, If-Match", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			if _, got, ok := p.etag(ctx, full); !ok {
				offered(a, got)
				return
			}
			_, _, got := p.assembled(ctx, full, map[string]string{"If-Match": noETag}, 10)
			refused(a, got, http.StatusPreconditionFailed, "CompleteMultipartUpload with another ETag replaced an object")
		}},
		{"repeated complete", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			id, list, got := p.assembled(ctx, full, nil, 10)
			if got.good() {
				got = p.complete(ctx, full, id, list, nil)
			}
			offered(a, got)
		}},
		{"order of parts", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			id, got := p.begin(ctx, full, nil)
			var list []part
			if got.good() {
				list, got = p.sendParts(ctx, full, id, nil, least, 10)
			}
			if !got.good() {
				offered(a, got)
				return
			}
			slices.Reverse(list)
			refused(a, p.complete(ctx, full, id, list, nil), http.StatusBadRequest, "parts in the wrong order were taken")
		}},
		{"minimum part", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			_, _, got := p.assembled(ctx, full, nil, small, 10)
			switch {
			case got.unclear():
				a.State, a.Detail = "unknown", got.String()
			case got.good():
				a.State, a.Detail = "no", "a part of 1 MiB that is not the last was taken"
			default:
				a.State, a.Detail = "yes", "a part of 1 MiB that is not the last: "+got.String()
			}
		}},
		{"parts of unequal sizes", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			_, _, got := p.assembled(ctx, full, nil, least, least+small, 10)
			offered(a, got)
		}},
		{"uploads listed by folder", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			_, got := p.begin(ctx, full+"/upload", nil)
			var found []uploadKey
			if got.good() {
				found, got = p.listUploads(ctx, url.Values{"prefix": {full + "/"}})
			}
			if offered(a, got) && len(found) != 1 {
				a.State, a.Detail = "no", fmt.Sprintf("%d of one", len(found))
			}
		}},
		{"uploads listed by pages", byPages},
	}
}

// uploadKey is one that ListMultipartUploads names.
type uploadKey struct {
	Key      string
	UploadId string
}

// listUploads is one ListMultipartUploads.
func (p *probe) listUploads(ctx context.Context, query url.Values) (all []uploadKey, got answer) {
	query.Set("uploads", "")
	got = p.do(ctx, request{method: http.MethodGet, query: query})
	var page struct {
		Upload []uploadKey
	}
	if err := xml.Unmarshal(got.body, &page); got.good() && err != nil {
		return nil, answer{err: err}
	}
	return page.Upload, got
}

// byPages asks for two uploads to one key, one after another. The whole key is the prefix, since MinIO lists by no other.
func byPages(ctx context.Context, p *probe, full string, a *drivers.Ability) {
	for range 2 {
		if _, got := p.begin(ctx, full, nil); !got.good() {
			offered(a, got)
			return
		}
	}
	query := url.Values{"prefix": {full}, "max-uploads": {"1"}}
	first, got := p.listUploads(ctx, query)
	if !offered(a, got) {
		return
	}
	if len(first) != 1 {
		a.State, a.Detail = "no", fmt.Sprintf("a page for one has %d", len(first))
		return
	}
	query.Set("key-marker", first[0].Key)
	query.Set("upload-id-marker", first[0].UploadId)
	second, got := p.listUploads(ctx, query)
	if !offered(a, got) {
		a.Detail = "second page: " + a.Detail
		return
	}
	if len(second) != 1 || second[0].UploadId == first[0].UploadId {
		a.State, a.Detail = "no", fmt.Sprintf("the second page has %d", len(second))
	}
}

// crc is the value of X-Amz-Checksum-Crc32.
func crc(body []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
}

// checksums is what concerns S3's additional checksums.
func checksums() []one {
	body := []byte(strings.Repeat("0123456789", 1000))
	return []one{
		{"checksum trailers", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			p.objects = append(p.objects, full)
			// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
			chunks := fmt.Sprintf("%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n", len(body), body, crc(body))
			got := p.do(ctx, request{
				operation: opPut, method: http.MethodPut, full: full, body: []byte(chunks), sum: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
				header: map[string]string{
					"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": strconv.Itoa(len(body)), "X-Amz-Trailer": "x-amz-checksum-crc32",
				},
			})
			if !offered(a, got) {
				return
			}
			if kept := p.get(ctx, full); kept.good() && string(kept.body) != string(body) {
				a.State, a.Detail = "no", fmt.Sprintf("%d bytes were sent, %d others are in the object", len(body), len(kept.body))
			}
		}},
		{"checksums kept", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			got := p.put(ctx, full, body, map[string]string{"X-Amz-Checksum-Crc32": crc(body)})
			if got.good() {
				got = p.do(ctx, request{operation: opHead, method: http.MethodHead, full: full, header: map[string]string{"X-Amz-Checksum-Mode": "ENABLED"}})
			}
			if offered(a, got) && got.header.Get("X-Amz-Checksum-Crc32") != crc(body) {
				a.State, a.Detail = "no", "HEAD does not tell the checksum that PUT has sent"
			}
		}},
		{"wrong checksums refused", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			other := base64.StdEncoding.EncodeToString(make([]byte, 32))
			refused(a, p.put(ctx, full, body, map[string]string{"X-Amz-Checksum-Sha256": other}), http.StatusBadRequest, "a body with another SHA-256 was stored")
		}},
		{"multipart checksums", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			id, got := p.begin(ctx, full, map[string]string{"X-Amz-Checksum-Algorithm": "CRC32"})
			var list []part
			if got.good() {
				list, got = p.sendParts(ctx, full, id, func(body []byte) map[string]string { return map[string]string{"X-Amz-Checksum-Crc32": crc(body)} }, 10)
			}
			if got.good() {
				list[0].ChecksumCRC32 = crc([]byte(strings.Repeat("a", 10)))
				got = p.complete(ctx, full, id, list, nil)
			}
			offered(a, got)
		}},
	}
}

// others is what has to do with none of these.
func others() []one {
	return []one{
		{"server-side copy", copied(nil, 0)},
		{"conditional copy, target", copied(map[string]string{"If-None-Match": "*"}, http.StatusPreconditionFailed)},
		{"conditional copy, source", copied(map[string]string{"X-Amz-Copy-Source-If-Match": noETag}, http.StatusPreconditionFailed)},
		{"an object and a folder of one name", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			got := p.put(ctx, full, nil, nil)
			if got.good() {
				got = p.put(ctx, full+"/below", nil, nil)
			}
			var names []string
			if got.good() {
				names, got = p.list(ctx, full)
			}
			if offered(a, got) && len(names) != 2 {
				a.State, a.Detail = "no", fmt.Sprintf("both can be put, %d of them is listed", len(names))
			}
		}},
		{"delete of many without a checksum", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			offered(a, p.deleteMany(ctx, full, 1, false))
		}},
		{"delete of 1,001 refused", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			refused(a, p.deleteMany(ctx, full, 1001, true), http.StatusBadRequest, "more than S3's 1,000 in one request were taken")
		}},
		{"storage class REDUCED_REDUNDANCY", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			offered(a, p.put(ctx, full, nil, map[string]string{"X-Amz-Storage-Class": "REDUCED_REDUNDANCY"}))
		}},
		{"encryption AES256", func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
			if p.customer() {
				a.State, a.Detail = "unknown", notCustomer
				return
			}
			offered(a, p.put(ctx, full, nil, map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}))
		}},
	}
}

// notCustomer is why a question is not asked.
const notCustomer = "not tried with a key of the customer"

// customer reports whether objects are encrypted with a key that each request has to bring.
func (p *probe) customer() bool { return p.Headers != nil && len(p.Headers(opGet)) > 0 }

// copied copies an object onto another, under a condition that is not met if there is one.
func copied(condition map[string]string, status int) func(context.Context, *probe, string, *drivers.Ability) {
	return func(ctx context.Context, p *probe, full string, a *drivers.Ability) {
		if p.customer() {
			a.State, a.Detail = "unknown", notCustomer
			return
		}
		_, got, ok := p.etag(ctx, full)
		if ok {
			_, got, ok = p.etag(ctx, full+"-copy")
		}
		if !ok {
			offered(a, got)
			return
		}
		header := map[string]string{"X-Amz-Copy-Source": p.Bucket + "/" + full}
		maps.Copy(header, condition)
		got = p.do(ctx, request{operation: opPut, method: http.MethodPut, full: full + "-copy", header: header})
		if status == 0 {
			offered(a, got)
			return
		}
		refused(a, got, status, "it was copied all the same")
	}
}

// deleteMany removes n objects that there are not.
func (p *probe) deleteMany(ctx context.Context, full string, n int, sum bool) answer {
	var b strings.Builder
	b.WriteString(`<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>`)
	for i := range n {
		fmt.Fprintf(&b, "<Object><Key>%s-%d</Key></Object>", full, i)
	}
	b.WriteString("</Delete>")
	r := request{method: http.MethodPost, query: url.Values{"delete": {""}}, body: []byte(b.String())}
	if sum {
		r.header = map[string]string{"Content-MD5": md5Of(r.body)}
	}
	return p.do(ctx, r)
}
