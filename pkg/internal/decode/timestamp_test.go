package decode_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/telltale-iot/telltale/pkg/internal/decode"
)

// A clock that says no zone is read as one on the wall, also when walls disagree with themselves.
func TestLocalTimes(t *testing.T) {
	for _, tt := range []struct{ zone, text, received, want string }{
		{"UTC", "2026-10-25T02:30:00", "2026-10-25T02:30:01Z", "2026-10-25T02:30:00Z"},
		{"Europe/Berlin", "2026-07-01T02:30:00", "2026-07-01T00:30:01Z", "2026-07-01T00:30:00Z"},
		{"Europe/Berlin", "2026-07-01T02:30:00Z", "2026-07-01T02:30:01Z", "2026-07-01T02:30:00Z"},
		// 02:00 to 03:00 comes twice: as it is said, and an hour later
		{"Europe/Berlin", "2026-10-25T01:59:59", "2026-10-24T23:59:59Z", "2026-10-24T23:59:59Z"},
		{"Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:01Z", "2026-10-25T00:30:00Z"},
		{"Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T01:30:01Z", "2026-10-25T01:30:00Z"},
		{"Europe/Berlin", "2026-10-25T02:30:00", "2026-10-26T00:00:00Z", "2026-10-25T01:30:00Z"},
		{"Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00:01Z", "2026-10-25T02:00:00Z"},
		{"America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30:01Z", "2026-11-01T05:30:00Z"},
		{"America/New_York", "2026-11-01T01:30:00", "2026-11-01T06:30:01Z", "2026-11-01T06:30:00Z"},
		{"Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-04T14:45:01Z", "2026-04-04T14:45:00Z"},
		{"Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-04T15:15:01Z", "2026-04-04T15:15:00Z"},
		// 02:00 to 03:00 is left out
		{"Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:01Z", "2026-03-29T01:30:00Z"},
		{"America/New_York", "2026-03-08T02:30:00", "2026-03-08T07:30:01Z", "2026-03-08T07:30:00Z"},
	} {
		zone, err := time.LoadLocation(tt.zone)
		if err != nil {
			t.Fatal(err)
		}
		received, err := time.Parse(time.RFC3339, tt.received)
		if err != nil {
			t.Fatal(err)
		}
		millis, ok := decode.ParseTime([]byte(tt.text), zone, received.UnixMilli())
		if got := time.UnixMilli(millis).UTC().Format(time.RFC3339); !ok || got != tt.want {
			t.Errorf("%s in %s, received at %s, is %s (%v), want %s", tt.text, tt.zone, tt.received, got, ok, tt.want)
		}
	}
}
