package mapping

import (
	"time"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
)

// ParseTime reads the time that a device said, as a reading keeps it, in milliseconds since 1970. A text without a zone is
// taken for UTC.
func ParseTime(said string) (millis int64, ok bool) {
	return decode.ParseTime([]byte(said), time.UTC, 0)
}
