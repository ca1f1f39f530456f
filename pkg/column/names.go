package column

import (
	"encoding/binary"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// The names that most blocks have take a byte.
var wellKnown = [...]string{iot.Temperature, iot.Humidity}

func appendName(dst []byte, name string) []byte {
	for i, known := range wellKnown {
		if name == known {
			return append(dst, byte(i))
		}
	}
	return append(binary.AppendUvarint(dst, uint64(len(name)+len(wellKnown)-1)), name...)
}

// name reads a name. Where it is old, it returns that instead of a new string.
func (r *reader) name(old string) string {
	code := r.upTo(len(r.rest) + len(wellKnown))
	if code < len(wellKnown) {
		if r.err != nil {
			return ""
		}
		return wellKnown[code]
	}
	b := r.bytes(code - len(wellKnown) + 1)
	if string(b) == old {
		return old
	}
	return string(b)
}

// names reads names, which ascend.
func (r *reader) names(names []string) {
	for i := range names {
		if names[i] = r.name(names[i]); names[i] == "" || i > 0 && names[i] <= names[i-1] {
			r.fail()
			return
		}
	}
}
