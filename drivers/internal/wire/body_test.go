package wire_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/longshore-registry/longshore/drivers/internal/wire"
)

var contentRange = regexp.MustCompile(`\Abytes (\d+)-(\d+)/(\d+)\z`)

// FuzzRangeTotal: an answer is taken only if it has the very range that was asked for, in the form of RFC 9110, section 14.4.
func FuzzRangeTotal(f *testing.F) {
	for _, text := range []string{"bytes 0-9/10", "bytes 0-9/*", "bytes 0-9/9", "bytes 0-9/+10", "bytes 0-9/-10", "bytes */10", "", "0-9/10", "bytes=0-9/10", "bytes 0-9/ 10", "bytes 0-9/010", "bytes 0-9/99999999999999999999"} {
		f.Add(text, int64(0), int64(10))
	}
	f.Fuzz(func(t *testing.T, text string, offset, length int64) {
		total, err := wire.RangeTotal(text, offset, length)
		if err != nil {
			return
		}
		m := contentRange.FindStringSubmatch(text)
		if m == nil || m[1] != strconv.FormatInt(offset, 10) || m[2] != fmt.Sprint(offset+length-1) || total < offset+length {
			t.Errorf("%q for %d from %d is taken: %d", text, length, offset, total)
		}
	})
}

// FuzzRangeHeader: what is asked for begins at the offset and is at most as long as wanted, whatever overflows.
func FuzzRangeHeader(f *testing.F) {
	f.Add(int64(0), int64(-1))
	f.Add(int64(5), int64(0))
	f.Add(int64(1<<62), int64(1<<62))
	f.Fuzz(func(t *testing.T, offset, length int64) {
		if offset < 0 || length == 0 {
			return // drivers answer these themselves
		}
		text := wire.RangeHeader(offset, length)
		var from, to int64
		switch n, _ := fmt.Sscanf(text, "bytes=%d-%d", &from, &to); n {
		case 2:
			if from != offset || to-from+1 != length || to < from {
				t.Errorf("%d from %d: %s", length, offset, text)
			}
		case 1:
			if from != offset || length > 0 && offset+length > 0 {
				t.Errorf("%d from %d: %s", length, offset, text)
			}
		default:
			if text != "" || offset != 0 || length > 0 {
				t.Errorf("%d from %d: %q", length, offset, text)
			}
		}
	})
}
