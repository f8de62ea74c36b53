package glance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The requests to Glance, one function each:
// https://docs.openstack.org/api-ref/image/v2/

// call is a request.
type call struct {
	method string
	path   string // after /v2/
	query  url.Values
	body   io.Reader // nil: none; read once, so only for calls that are not repeated
	json   any       // the body, in place of body
	kind   string    // Content-Type
	length int64     // of body
	ranges string    // Range
}

// send sends c once, and a second time if the token had ended. The answer is a success.
func (d *Driver) send(ctx context.Context, c call) (*http.Response, error) {
	stale := ""
	for {
		a, err := d.session.get(ctx, stale)
		if err != nil {
			return nil, err
		}
		answer, err := d.sendWith(ctx, a, c)
		again := statusOf(err) == http.StatusUnauthorized && stale == "" && c.body == nil && d.c.AuthURL != ""
		if !again {
			return answer, err
		}
		stale = a.token
	}
}

func (d *Driver) sendWith(ctx context.Context, a access, c call) (*http.Response, error) {
	body, length := c.body, c.length
	if c.json != nil {
		text, err := json.Marshal(c.json)
		if err != nil {
			return nil, err
		}
		body, length = bytes.NewReader(text), int64(len(text))
	}
	target := a.endpoint + "/v2/" + c.path
	if len(c.query) > 0 {
		target += "?" + c.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, c.method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.ContentLength = length
		if length == 0 {
			r.Body = http.NoBody // or it would be sent in chunks
		}
		r.Header.Set("Content-Type", c.kind)
	}
	if a.token != "" {
		r.Header.Set("X-Auth-Token", a.token)
	}
	if c.ranges != "" {
		r.Header.Set("Range", c.ranges)
	}
	answer, err := d.client.Do(r)
	if err != nil {
		return nil, &refusal{what: "the image service does not answer", err: err}
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return answer, nil
	}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4096)) // what there is of it will do
	_ = answer.Body.Close()
	return nil, refused(answer, text, "the image service")
}

// once is send for an answer that fits into memory, which it reads into the value that into points to, if that is not nil.
func (d *Driver) once(ctx context.Context, c call, into any) (http.Header, error) {
	answer, err := d.send(ctx, c)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close() // it was read
	if err != nil {
		return nil, &refusal{what: "the image service's answer breaks off", err: err}
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			return nil, fmt.Errorf("what answers is no image service of version 2: %w", err)
		}
	}
	return answer.Header, nil
}

// run is once, repeated as often as it may pass. It is for what can be repeated.
func (d *Driver) run(ctx context.Context, c call, into any) (header http.Header, err error) {
	err = try(ctx, d.c.Attempts, func() error {
		header, err = d.once(ctx, c, into)
		return err
	})
	return header, err
}

// list asks for images. more says that there are others beyond the limit.
func (d *Driver) list(ctx context.Context, query url.Values) (images []image, more bool, err error) {
	images, more, _, err = d.listed(ctx, query)
	return images, more, err
}

// listed is list with the header of the answer.
func (d *Driver) listed(ctx context.Context, query url.Values) (images []image, more bool, header http.Header, err error) {
	var page struct {
		Images []image `json:"images"`
		Next   string  `json:"next"`
	}
	query.Set("os_hidden", "true") // without it Glance leaves hidden images out
	query.Set("visibility", "private")
	if header, err = d.run(ctx, call{method: http.MethodGet, path: "images", query: query}, &page); err != nil {
		return nil, false, nil, err
	}
	for i := range page.Images {
		page.Images[i].read()
	}
	return page.Images, page.Next != "", header, nil
}

// find returns those of some images that there are, by their ids.
func (d *Driver) find(ctx context.Context, ids []string) ([]image, error) {
	images, _, err := d.list(ctx, url.Values{"id": {"in:" + strings.Join(ids, ",")}, "limit": {fmt.Sprint(len(ids))}})
	return images, err
}

// get asks for one image.
func (d *Driver) get(ctx context.Context, id string) (image, http.Header, error) {
	var i image
	header, err := d.run(ctx, call{method: http.MethodGet, path: "images/" + id}, &i)
	i.read()
	return i, header, err
}

// outcome is what became of an attempt to create an image.
type outcome int

const (
	refusedIt outcome = iota // there is none of ours, and never will be
	made
	taken   // the id is, or was, another's
	unknown // it may be there, or appear a little later
)

// errUnknown is said of a change whose effect is not known.
var errUnknown = errors.New("the service's answers were lost, so nobody knows whether it took effect")

// create creates an image. All that the driver does at most once is made of this: an id can be given once in the
// life of a Glance, also after its image was deleted, and the database sees to that. So an answer that was lost
// can be asked for again, and a request that arrives late changes nothing.
func (d *Driver) create(ctx context.Context, i image) (outcome, error) {
	unsure := false
	var err error
	for n := 1; n <= d.c.Attempts; n++ {
		if n > 1 {
			if stop := pause(ctx, n-1); stop != nil {
				return unknown, stop
			}
		}
		_, err = d.once(ctx, call{method: http.MethodPost, path: "images", json: i.create(d.c), kind: "application/json"}, nil)
		switch {
		case err == nil:
			return made, nil
		case statusOf(err) == http.StatusConflict && !unsure:
			return taken, nil
		case statusOf(err) == http.StatusConflict:
			return d.whose(ctx, i)
		case ctx.Err() != nil:
			return unknown, ctx.Err()
		case !transient(err):
			if unsure {
				return unknown, err
			}
			return refusedIt, err
		}
		unsure = true
	}
	return unknown, fmt.Errorf("%w: %w", errUnknown, err)
}

// whose looks whether the image that is there is the one that an earlier attempt has made.
func (d *Driver) whose(ctx context.Context, i image) (outcome, error) {
	found, _, err := d.get(ctx, i.ID)
	switch {
	case err == nil && found.Token == i.Token:
		return made, nil
	case err == nil:
		return taken, nil
	case statusOf(err) == http.StatusNotFound:
		// It was ours and somebody has removed it since, or it was another's.
		return unknown, errUnknown
	}
	return unknown, err
}

// remove deletes an image, and its data. One that is gone is no error.
func (d *Driver) remove(ctx context.Context, id string) error {
	_, err := d.run(ctx, call{method: http.MethodDelete, path: "images/" + id}, nil)
	if statusOf(err) == http.StatusNotFound || statusOf(err) == http.StatusBadRequest && strings.Contains(err.Error(), "from deleted to deleted") {
		return nil // the latter is said while another request deletes it
	}
	return err
}

// patch sets one field or property of an image.
func (d *Driver) patch(ctx context.Context, id, field, value string) error {
	change := []map[string]string{{"op": "replace", "path": "/" + field, "value": value}}
	_, err := d.once(ctx, call{method: http.MethodPatch, path: "images/" + id, json: change, kind: "application/openstack-images-v2.1-json-patch"}, nil)
	return err
}

// upload makes an image with data. It has an id of its own at each attempt, since one whose upload broke off can be in a state in
// which it takes no other. All ids go to note, before they are used.
func (d *Driver) upload(ctx context.Context, i image, body []byte, note func(id string)) (id string, err error) {
	var broken []string
	err = try(ctx, d.c.Attempts, func() error {
		id = randomID()
		note(id)
		i.ID, i.Token = id, randomToken()
		if what, err := d.create(ctx, i); what != made {
			if err == nil {
				err = errUnknown
			}
			return err
		}
		reader := &lent{left: body}
		defer reader.takeBack()
		_, err := d.once(ctx, call{
			method: http.MethodPut, path: "images/" + id + "/file", body: reader, length: int64(len(body)), kind: "application/octet-stream",
		}, nil)
		if statusOf(err) == http.StatusUnauthorized && d.c.AuthURL != "" {
			err = &refusal{what: "the token has ended", err: err} // the next attempt gets another
		}
		if err != nil {
			broken = append(broken, id)
		}
		return err
	})
	for _, id := range broken {
		if err == nil {
			_ = d.remove(ctx, id) // or it is left over
		}
	}
	return id, err
}

// open asks for the data of an image: length bytes from offset of the size that it has.
func (d *Driver) open(ctx context.Context, p part, offset, length int64) (io.ReadCloser, error) {
	c := call{method: http.MethodGet, path: "images/" + p.ID + "/file"}
	want := http.StatusOK
	if offset > 0 || length < p.Size {
		c.ranges, want = fmt.Sprintf("bytes=%d-%d", offset, offset+length-1), http.StatusPartialContent
	}
	var answer *http.Response
	err := try(ctx, d.c.Attempts, func() (err error) {
		answer, err = d.send(ctx, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusNoContent { // an image without data
		_ = answer.Body.Close()
		return nil, &refusal{status: http.StatusNotFound, what: "the image has no data"}
	}
	if answer.StatusCode != want || answer.ContentLength != length {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("%w: asked for %d bytes of image %s from %d, the answer has status %d and %d bytes", errCorrupt, length, p.ID, offset, answer.StatusCode, answer.ContentLength)
	}
	return answer.Body, nil
}

// age is how long ago at was, by the clock of the service that gave the header.
func age(header http.Header, at time.Time) time.Duration {
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return now.Sub(at)
}
