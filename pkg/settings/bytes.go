package settings

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size: a number of bytes, or one of a unit, such as 500MB, 10GB or 10GiB.
type Bytes int64

// units have the longer name first where one ends with another.
var units = []struct {
	name  string
	bytes Bytes
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error {
	number, unit := strings.ToUpper(string(text)), Bytes(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, strings.ToUpper(u.name)); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > int64(math.MaxInt64/unit) || n < int64(math.MinInt64/unit) {
		return errors.New("must be a size in bytes, or with a unit, such as 500MB, 10GB or 10GiB")
	}
	*b = Bytes(n) * unit
	return nil
}

// String returns b in the greatest unit of which it is a whole number.
func (b Bytes) String() string {
	name, best := "", Bytes(1)
	for _, u := range units {
		if b != 0 && b%u.bytes == 0 && u.bytes > best {
			name, best = u.name, u.bytes
		}
	}
	return strconv.FormatInt(int64(b/best), 10) + name
}
