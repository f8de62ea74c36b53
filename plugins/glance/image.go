package glance

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Kinds of images.
const (
	kindStore  = "store"  // one for each store: it keeps the secret that ids are made of
	kindEntry  = "entry"  // an object, with its bytes or the ids of the images that have them
	kindAbsent = "absent" // says that there is no object any more, after a number of entries
	kindVoid   = "void"   // uses up the id of an entry that was never made
	kindNext   = "next"   // says that a key has entries beyond a window
	kindPart   = "part"   // bytes
	kindSeal   = "seal"   // says that a state of a stream is outdated
	kindEnd    = "end"    // says who ends a stream
	kindCursor = "cursor" // a place in the order of names, from which a listing begins
)

// record is what the driver notes on an image, in the property longshore as JSON. It is of version 1.
type record struct {
	Kind   string `json:"kind"`
	Key    string `json:"key,omitempty"`
	Number int    `json:"number,omitempty"` // of an entry, among those of its key that there ever were; of kindNext: from where to look
	Token  string `json:"token"`            // random: tells whose image it is

	Size   int64  `json:"size,omitempty"`   // of the object
	Body   []byte `json:"body,omitempty"`   // of the object, if it is small
	Parts  []part `json:"parts,omitempty"`  // of the object
	Index  *part  `json:"index,omitempty"`  // an image that holds the list of parts, if that is long
	Stream string `json:"stream,omitempty"` // to which a part, seal or end belongs; from which an object was made
	Lone   bool   `json:"lone,omitempty"`   // a part whose stream is being committed
	By     string `json:"by,omitempty"`     // of kindEnd: commit or drop
	Secret []byte `json:"secret,omitempty"` // of kindStore
}

// part is an image that has bytes of an object.
type part struct {
	ID   string `json:"id"`
	Size int64  `json:"size"`
}

// image is an image of Glance, as far as it matters.
type image struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Status  string    `json:"status"`
	Created time.Time `json:"created_at"`
	Updated time.Time `json:"updated_at"`
	Bytes   *int64    `json:"size"` // of its data; nil if it has none yet
	Note    string    `json:"longshore"`

	protected bool
	record    `json:"-"`
}

// read takes the record out of the property. An image without one has no kind: it is somebody else's, or is being deleted.
func (i *image) read() {
	i.record = record{}
	switch i.Status {
	case "deleted", "pending_delete", "killed":
		return
	}
	if err := json.Unmarshal([]byte(i.Note), &i.record); err != nil {
		i.record = record{}
	}
}

// Names of the properties. Only the second can be asked for.
const (
	noteProperty   = "longshore"
	streamProperty = "longshore_stream"
)

// streamValue is the value of streamProperty for a stream, or for the cursors, of a store.
func streamValue(c Config, stream string) string { return c.Store + ":" + stream }

// note is the property that has the record.
func (i image) note() string {
	text, _ := json.Marshal(i.record) // strings, numbers and bytes always can be
	return string(text)
}

// create is the body of the request that creates i. Everything of an image is written in one transaction but its tags, so there are none.
func (i image) create(c Config) map[string]any {
	m := map[string]any{
		"id": i.ID, "name": i.Name, "visibility": "private", "os_hidden": true, "protected": i.protected,
		noteProperty: i.note(),
	}
	if i.Stream != "" && i.Kind != kindEntry {
		m[streamProperty] = streamValue(c, i.Stream)
	}
	if i.Kind == kindCursor {
		m[streamProperty] = streamValue(c, "cursor")
	}
	if i.Kind == kindPart { // without these Glance takes no data
		m["container_format"], m["disk_format"] = c.ContainerFormat, "raw"
	}
	return m
}

// randomToken is an ETag, and tells images of one writer from another's.
func randomToken() string { return rand.Text() }

// randomID is the id of an image that nobody has to find by a key.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return formatID(b, 0x80)
}

// derived is the id of an image that others find by the words that it is made of. The secret keeps other projects, which can't see the
// store's images but could take their ids, from knowing them.
func derived(secret []byte, words ...string) string {
	h := hmac.New(sha256.New, secret)
	for _, word := range words {
		_ = binary.Write(h, binary.BigEndian, uint32(len(word)))
		_, _ = h.Write([]byte(word))
	}
	return formatID([16]byte(h.Sum(nil)), 0x80)
}

// cursorID sorts before the ids of all images that are no cursors.
func cursorID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return formatID(b, 0)
}

// formatID writes b as a UUID of version 8, which is free in what it is made of (RFC 9562, section 5.8), with the first bit set to that of first.
func formatID(b [16]byte, first byte) string {
	b[0] = b[0]&0x7f | first
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	x := hex.EncodeToString(b[:])
	return strings.Join([]string{x[:8], x[8:12], x[12:16], x[16:20], x[20:]}, "-")
}

// entryID is the id of the number-th entry of a key, which is counted from 0.
func (d *Driver) entryID(key string, number int) string {
	return derived(d.secret, kindEntry, key, fmt.Sprint(number))
}

// nextID is the id of the image that says that a key has entries beyond a window.
func (d *Driver) nextID(key string, window int) string {
	return derived(d.secret, kindNext, key, fmt.Sprint(window))
}
