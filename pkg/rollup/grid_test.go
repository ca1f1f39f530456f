package rollup_test

import (
	"archive/zip"
	"errors"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/rollup"
)

const quarter = int64(iot.Quarter / time.Millisecond)

// TestGrid compares starts of buckets with what a calendar on the wall says.
func TestGrid(t *testing.T) {
	for _, tt := range []struct {
		zone, at string // UTC
		interval string
		want     string // how many buckets later the next ones begin, and when, in the zone
	}{
		{"Europe/Berlin", "2026-03-29T12:00Z", "1d", "2026-03-29T00:00+01:00 2026-03-30T00:00+02:00"}, // 23 h
		{"Europe/Berlin", "2026-10-25T12:00Z", "1d", "2026-10-25T00:00+02:00 2026-10-26T00:00+01:00"}, // 25 h
		{"Europe/Berlin", "2026-10-25T00:10Z", "1h", "2026-10-25T02:00+02:00 2026-10-25T02:00+01:00"},
		{"Europe/Berlin", "2026-10-25T01:10Z", "1h", "2026-10-25T02:00+01:00 2026-10-25T03:00+01:00"},
		{"Europe/Berlin", "2026-03-29T00:10Z", "1h", "2026-03-29T01:00+01:00 2026-03-29T03:00+02:00"},
		{"Europe/Berlin", "2026-03-29T21:59Z", "2h", "2026-03-29T23:00+02:00 2026-03-30T00:00+02:00"}, // half of it is in no such day
		{"Europe/Berlin", "2026-10-25T22:59Z", "12h", "2026-10-25T23:00+01:00 2026-10-26T00:00+01:00"},
		{"Europe/Berlin", "2026-03-29T12:00Z", "1w", "2026-03-23T00:00+01:00 2026-03-30T00:00+02:00"},
		{"Europe/Berlin", "2026-03-29T12:00Z", "1mo", "2026-03-01T00:00+01:00 2026-04-01T00:00+02:00"},
		{"Europe/Berlin", "2025-12-31T23:30Z", "1y", "2026-01-01T00:00+01:00 2027-01-01T00:00+01:00"},
		{"Australia/Lord_Howe", "2026-10-03T20:00Z", "1d", "2026-10-04T00:00+10:30 2026-10-05T00:00+11:00"}, // 23.5 h
		{"Australia/Lord_Howe", "2026-04-05T12:00Z", "1d", "2026-04-05T00:00+11:00 2026-04-06T00:00+10:30"}, // 24.5 h
		{"Australia/Lord_Howe", "2026-10-04T12:55Z", "1h", "2026-10-04T23:30+11:00 2026-10-05T00:00+11:00"},
		{"Australia/Adelaide", "2026-06-01T02:15Z", "1h", "2026-06-01T11:00+09:30 2026-06-01T12:00+09:30"},
		{"Australia/Adelaide", "2026-06-01T02:15Z", "15m", "2026-06-01T11:45+09:30 2026-06-01T12:00+09:30"},
		{"Asia/Kathmandu", "2026-06-01T00:20Z", "1h", "2026-06-01T06:00+05:45 2026-06-01T07:00+05:45"},
		{"Asia/Kathmandu", "2026-05-31T18:20Z", "1d", "2026-06-01T00:00+05:45 2026-06-02T00:00+05:45"},
		{"Pacific/Chatham", "2026-09-26T15:00Z", "1d", "2026-09-27T00:00+12:45 2026-09-28T00:00+13:45"},
		{"Africa/Casablanca", "2026-02-15T12:00Z", "1d", "2026-02-15T00:00+01:00 2026-02-16T00:00+00:00"}, // Ramadan
		{"Africa/Casablanca", "2026-03-22T12:00Z", "1d", "2026-03-22T00:00+00:00 2026-03-23T00:00+01:00"},
		{"Asia/Beirut", "2026-03-29T12:00Z", "1d", "2026-03-29T01:00+03:00 2026-03-30T00:00+03:00"}, // has no midnight
		{"Africa/Cairo", "2026-04-24T12:00Z", "1d", "2026-04-24T01:00+03:00 2026-04-25T00:00+03:00"},
		{"America/Asuncion", "2023-10-01T12:00Z", "1d", "2023-10-01T01:00-03:00 2023-10-02T00:00-03:00"},
		{"America/Havana", "2026-11-01T12:00Z", "1d", "2026-11-01T00:00-04:00 2026-11-02T00:00-05:00"},   // has two
		{"America/St_Johns", "2006-10-29T03:00Z", "1d", "2006-10-29T00:00-02:30 2006-10-30T00:00-03:30"}, // 00:01 is 23:01 of the day before
		{"Pacific/Apia", "2011-12-30T09:00Z", "1d", "2011-12-29T00:00-10:00 2011-12-31T00:00+14:00"},     // has no 30th
		{"Pacific/Apia", "2011-12-30T10:00Z", "1d", "2011-12-31T00:00+14:00 2012-01-01T00:00+14:00"},
		{"Africa/Monrovia", "1971-06-01T00:44:45Z", "1d", "1971-05-31T00:00-00:45 1971-06-01T00:00-00:45"}, // -00:44:30
		{"UTC", "1969-12-31T23:59Z", "15m", "1969-12-31T23:45+00:00 1970-01-01T00:00+00:00"},
		{"UTC", "1969-12-31T23:59Z", "1mo", "1969-12-01T00:00+00:00 1970-01-01T00:00+00:00"},
		{"Europe/Berlin", "2040-12-31T12:00Z", "1mo", "2040-12-01T00:00+01:00 2041-01-01T00:00+01:00"},
	} {
		const minutes = "2006-01-02T15:04Z07:00"
		at, err := time.Parse(minutes, tt.at)
		if strings.Count(tt.at, ":") == 2 {
			at, err = time.Parse(time.RFC3339, tt.at)
		}
		if err != nil {
			t.Fatal(err)
		}
		var want []int64
		for _, s := range strings.Fields(tt.want) {
			w, err := time.Parse(minutes, s)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, w.UnixMilli())
		}
		zone := zone(t, tt.zone)
		start, next := interval(t, tt.interval).In(zone).Bucket(at.UnixMilli())
		if start != want[0] || next != want[1] {
			t.Errorf("%s of %s in %s: %v to %v; want %s", tt.interval, tt.at, tt.zone,
				time.UnixMilli(start).In(zone).Format(minutes), time.UnixMilli(next).In(zone).Format(minutes), tt.want)
		}
	}
}

// TestGridInAllZones walks through the days around each change of the clock, in every zone: no gap, no overlap, only
// whole quarters, days that begin when their date does, and hours that add up to days.
func TestGridInAllZones(t *testing.T) {
	to := time.Date(2038, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, name := range zones(t) {
		zone := zone(t, name)
		changes := 0
		for at := time.Date(2000, 1, 1, 0, 0, 0, 0, zone); at.Before(to); changes++ {
			checkDays(t, zone, at.AddDate(0, 0, -2).UnixMilli(), at.AddDate(0, 0, 2).UnixMilli())
			if _, at = at.ZoneBounds(); at.IsZero() {
				break
			}
		}
		if name == "Europe/Berlin" && changes != 2*38+1 {
			t.Errorf("%d changes in Berlin", changes)
		}
	}
}

func checkDays(t *testing.T, zone *time.Location, from, to int64) {
	t.Helper()
	show := func(at int64) time.Time { return time.UnixMilli(at).In(zone) }
	date := func(at int64) int64 {
		y, m, d := show(at).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()
	}
	daily, backwards, hourly := rollup.Daily.In(zone), rollup.Daily.In(zone), rollup.Hour.In(zone)
	weekly, monthly := rollup.Weekly.In(zone), rollup.Monthly.In(zone)
	for at, next := daily.Start(from), int64(0); at < to; at = next {
		next = daily.Next(at)
		if length := next - at; next%quarter != 0 || length < 20*4*quarter || length > 27*4*quarter { // 27 hours: Casey in 2010
			t.Fatalf("a day from %v to %v", show(at), show(next))
		}
		if d := date(next); d <= date(next-1) || d <= date(at) {
			t.Fatalf("%v begins no day", show(next))
		}
		if s, n := backwards.Bucket(next - 1); s != at || n != next {
			t.Fatalf("the day of %v, looked for by its end, is from %d to %d", show(at), s, n)
		}
		if s := weekly.Start(at); weekly.Start(next-1) != s || s == at && show(at).Weekday() != time.Monday {
			t.Fatalf("%v and its week", show(at))
		}
		if s := monthly.Start(at); monthly.Start(next-1) != s || s == at && show(at).Day() != 1 {
			t.Fatalf("%v and its month", show(at))
		}
		hour := at
		for hour < next {
			s, n := hourly.Bucket(hour)
			if s != hour || n <= s || n > s+4*quarter || n%quarter != 0 {
				t.Fatalf("an hour from %v to %v", show(s), show(n))
			}
			hour = n
		}
		if hour != next {
			t.Fatalf("hours of %v end %d ms later than the day", show(at), hour-next)
		}
	}
}

// TestGridAtRandom jumps to and fro: every bucket has what was asked for, and the next begins where it ends.
func TestGridAtRandom(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	names := zones(t)
	for range 200 {
		name := names[r.IntN(len(names))]
		i := rollup.Interval(r.IntN(int(rollup.Yearly) + 1))
		g := i.In(zone(t, name))
		for range 100 {
			at := r.Int64N(253402300799999)
			s, n := g.Bucket(at)
			s2, n2 := i.In(zone(t, name)).Bucket(n)
			if s > at || n <= at || n-s > 2*i.Length().Milliseconds() || s2 != n || n2 <= n || i >= rollup.Quarter && s%quarter != 0 {
				t.Fatalf("seed %d: %v of %d in %s: from %d to %d, the next to %d", seed, i, at, name, s, s2, n2)
			}
		}
	}
}

func TestLoadZone(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"} {
		if z := zone(t, name); z.String() != name {
			t.Errorf("%q is %q", name, z)
		}
	}
	for _, name := range []string{"", "Local", "localtime", "Mars/Olympus", "europe/berlin ", "../UTC", "/etc/passwd", "Europe", "posix/UTC",
		"right/UTC", "tzdata.zi", "+02:00", "UTC+2", "Europe/Berlin\x00", strings.Repeat("a", 5000)} {
		if z, err := rollup.LoadZone(name); !errors.Is(err, iot.ErrInvalid) || len(err.Error()) > 100 {
			t.Errorf("%.40q is %v, %v; want ErrInvalid", name, z, err)
		}
	}
}

func TestParseInterval(t *testing.T) {
	for i := rollup.Raw; i <= rollup.Yearly; i++ {
		if got := interval(t, i.String()); got != i {
			t.Errorf("%v is parsed as %v", i, got)
		}
		if i > 0 && i.Length() <= (i-1).Length() {
			t.Errorf("%v is no longer than %v", i, i-1)
		}
	}
	for _, s := range []string{"", "auto", "1", "20m", "1H", "60m", " 1h", "1M", strings.Repeat("1", 1000)} {
		if i, err := rollup.ParseInterval(s); !errors.Is(err, iot.ErrInvalid) {
			t.Errorf("%.40q is parsed as %v, %v; want ErrInvalid", s, i, err)
		}
	}
}

func TestAuto(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	from := time.Date(2026, 3, 29, 0, 0, 0, 0, berlin)
	for _, tt := range []struct {
		to     time.Time
		points int
		want   string
	}{
		{from.Add(time.Millisecond), 1, "1s"},
		{from.Add(1000 * time.Second), 1000, "1s"},
		{from.Add(1000*time.Second + 1), 1000, "2s"}, // a nanosecond is in one more
		{from.AddDate(0, 0, 1), 23, "1h"},
		{from.AddDate(0, 0, 1), 22, "90m"},
		{from.AddDate(0, 0, 1), 1, "1d"},
		{from.AddDate(0, 0, 2), 2, "1d"},
		{from.AddDate(0, 0, 30), 1000, "45m"}, // 719 hours
		{from.AddDate(1, 0, 0), 1000, "12h"},
		{from.AddDate(1, 0, 0), 365, "1d"},
		{from.AddDate(120, 0, 0), 1441, "1mo"}, // most of them longer than 30 days; the last one has the first days of a month
		{from.AddDate(120, 0, 0), 1440, "1y"},
		{from.AddDate(100, 0, 0), 10, "1y"}, // shorter than nobody wants it
		{from, 1, "1s"},
	} {
		if got := rollup.Auto(from, tt.to, berlin, tt.points); got.String() != tt.want {
			t.Errorf("%d points to %v: %v; want %v", tt.points, tt.to, got, tt.want)
		}
	}
	for i := rollup.Second; i <= rollup.Yearly; i++ { // against a count by steps
		to := from.Add(30*i.Length() + 12345*time.Millisecond)
		n := 0
		for at := from.UnixMilli() + 777; at < to.UnixMilli(); at = i.In(berlin).Next(at) {
			n++
		}
		if got := i.Count(from.Add(777*time.Millisecond), to, berlin, 1000); got != n {
			t.Errorf("%v: %d buckets; want %d", i, got, n)
		}
		if got := i.Count(from, to, berlin, 5); got != 6 {
			t.Errorf("%v: %d buckets; want 6, more than the limit", i, got)
		}
	}
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := rollup.LoadZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func interval(t testing.TB, s string) rollup.Interval {
	t.Helper()
	i, err := rollup.ParseInterval(s)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// zones returns the names of those that are embedded in Go's programs, one of those that are the same.
func zones(t testing.TB) (names []string) {
	t.Helper()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(goroot)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = z.Close() })
	seen := map[uint32]bool{}
	for _, f := range z.File {
		if !f.FileInfo().IsDir() && !seen[f.CRC32] {
			seen[f.CRC32] = true
			names = append(names, f.Name)
		}
	}
	if len(names) < 300 {
		t.Fatalf("%d zones", len(names))
	}
	return names
}
