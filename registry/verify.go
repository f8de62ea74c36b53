package registry

import (
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/longshore-registry/longshore/drivers"
)

// verified is the body of a whole blob whose last bytes are handed out only if all of them have the blob's digest. So a
// client never gets as many bytes as it waits for under a digest that they do not have, whatever the store returns.
type verified struct {
	io.ReadCloser
	blob Blob
	hash hash.Hash
	left int64 // bytes
	bad  error
}

func newVerified(body io.ReadCloser, b Blob) *verified {
	return &verified{ReadCloser: body, blob: b, hash: b.Digest.Algorithm().Hash(), left: b.Size}
}

// Read fails with ErrCorrupt instead of giving the last bytes.
func (v *verified) Read(p []byte) (int, error) {
	if v.bad != nil {
		return 0, v.bad
	}
	n, err := v.ReadCloser.Read(p)
	v.hash.Write(p[:n])
	if v.left -= int64(n); v.left <= 0 && (n > 0 || errors.Is(err, io.EOF)) {
		if v.bad = checkDigest(v.blob, v.hash); v.bad != nil {
			return 0, v.bad
		}
	}
	return n, err
}

// checkDigest compares what was read of a whole blob with its digest.
func checkDigest(b Blob, h hash.Hash) error {
	if got := digest.NewDigest(b.Digest.Algorithm(), h); got != b.Digest {
		return &drivers.Error{
			Op: "read blob " + b.Digest.String(), Driver: "registry", Key: b.data, Kind: drivers.ErrCorrupt,
			Err: fmt.Errorf("what the store returned has the digest %s", got),
		}
	}
	return nil
}
