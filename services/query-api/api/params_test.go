package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/rollup"
)

func TestParseTime(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-03-01T12:00:00Z":           noon,
		"2026-03-01T12:00:00.000Z":       noon,
		"2026-03-01t12:00:00z":           noon,
		"2026-03-01T14:00:00+02:00":      noon,
		"2026-03-01T14:00:00 02:00":      noon, // an unescaped plus
		"2026-03-01T07:30:00-04:30":      noon,
		"2026-03-01T12:00:00":            noon,
		"2026-03-01 12:00:00":            noon,
		"2026-03-01 14:00:00 02:00":      noon,
		"2026-03-01T12:00Z":              noon,
		"2026-03-01T12:00":               noon,
		"2026-03-01":                     noon.Add(-12 * time.Hour),
		"2026-03-01T12:00:00.1Z":         noon.Add(100 * time.Millisecond),
		"2026-03-01T12:00:00.123456789Z": noon.Add(123456789),
	} {
		if got, ok := parseTime(text, time.UTC); !ok || !got.Equal(want) {
			t.Errorf("%q is %v, %v; want %v", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", "now", "12:00:00", "1772366400", "2026-3-1", "2026-02-30", "2026-03-01T25:00:00Z",
		"2026-03-01T12:00:00+24:00:00", "2026-03-01T12:00:00ZZ", "2026-03-01T12:00:00Z ", "12026-03-01",
	} {
		if got, ok := parseTime(text, time.UTC); ok {
			t.Errorf("%q is %v, want none", text, got)
		}
	}
}

// TestParseTimeInZone: days begin where those of charts do, also where the clock is put forward at midnight, and what clocks
// show twice is the first of the two.
func TestParseTimeInZone(t *testing.T) {
	for _, c := range []struct{ zone, text, want string }{
		{"America/Havana", "2026-03-07", "2026-03-07T05:00:00Z"},
		{"America/Havana", "2026-03-08", "2026-03-08T05:00:00Z"}, // begins at 1:00
		{"America/Havana", "2026-03-08T00:30:00.5", "2026-03-08T05:00:00Z"},
		{"America/Havana", "2026-03-08T01:30:00.5", "2026-03-08T05:30:00.5Z"},
		{"America/Havana", "2026-11-01T00:30", "2026-11-01T04:30:00Z"},
		{"Atlantic/Azores", "2026-03-29", "2026-03-29T01:00:00Z"},
		{"America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z"},
		{"America/Asuncion", "2024-10-06", "2024-10-06T04:00:00Z"},
		{"Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z"},
		{"Europe/Berlin", "2025-10-26T02:30:00", "2025-10-26T00:30:00Z"},
		{"Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:00:00Z"},
		{"Europe/Berlin", "2026-03-29T02:30:00+01:00", "2026-03-29T01:30:00Z"},
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"}, // a date that there was not
	} {
		zone, err := rollup.LoadZone(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := parseTime(c.text, zone); !ok || got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%s in %s is %v, %v; want %s", c.text, c.zone, got, ok, c.want)
		}
	}
}

// TestTimeBounds: since is From <= At and until is At < To, and At is whole milliseconds.
func TestTimeBounds(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2026-03-01T12:00:00.000Z":    noon,
		"2026-03-01T12:00:00.000001Z": noon.Add(time.Millisecond),
		"2026-03-01T12:00:00.0009Z":   noon.Add(time.Millisecond),
		"1969-12-31T23:59:59.9985Z":   time.UnixMilli(-1),
		"0001-01-01":                  time.Time{}.Add(time.Millisecond), // which is no zero time.Time
		"0001-01-01T01:00:00+02:00":   time.Time{}.Add(time.Millisecond),
		"9999-12-31T23:59:59.9999Z":   lastTime,
		"9999-12-31T23:59:59-12:00":   lastTime, // or there were five digits in its year
		"":                            {},
	} {
		p := &params{pairs: []param{{"since", text}}}
		if got := p.time("since"); !got.Equal(want) || p.errs != nil {
			t.Errorf("%q is %v, %v; want %v", text, got, p.errs, want)
		}
	}
}

func TestReadParams(t *testing.T) {
	for query, want := range map[string][]param{
		"":                      nil,
		"limit=5&since=":        {{"limit", "5"}, {"since", ""}},
		"&&limit=5&":            {{"limit", "5"}},
		"a%3Db=c%26d+e":         {{"a=b", "c&d e"}},
		"limit=%zz&user":        {{"limit", "%zz\xff"}, {"user", ""}},
		"limit=1;limit=2&a=b=c": {{"limit", "1;limit=2"}, {"a", "b=c"}},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?"+query, nil)
		got := readParams(echo.New().NewContext(r, nil)).pairs
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(param{})); diff != "" {
			t.Errorf("%q: %s", query, diff)
		}
	}
}

func TestIDCursor(t *testing.T) {
	for _, id := range []int64{1, 42, 1<<53 - 1} {
		p := &params{pairs: []param{{"cursor", formatIDCursor(id)}}}
		if got := p.idCursor(); got != id || p.errs != nil {
			t.Errorf("cursor of %d is read as %d, %v", id, got, p.errs)
		}
	}
	for _, text := range []string{"1", "x", formatIDCursor(0), formatIDCursor(-1), formatIDCursor(1) + "A", "AAAAAAAAAAE="} {
		p := &params{pairs: []param{{"cursor", text}}}
		if p.idCursor(); p.errs == nil {
			t.Errorf("cursor %q is accepted", text)
		}
	}
}
