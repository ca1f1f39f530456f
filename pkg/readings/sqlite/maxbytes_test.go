package sqlite

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestMaxBytes bounds what the files take: the oldest month goes first, then the rollups of such, then the oldest days, and never
// what is new.
func TestMaxBytes(t *testing.T) {
	dir := t.TempDir()
	store := kept(t, dir, iot.Retention{})
	all := history(1, 24)
	fill(t, store, all)
	used, _, _, err := store.bytes()
	if err != nil {
		t.Fatal(err)
	}
	horizons := func(most int64) (all []string) {
		store.retention.MaxBytes = most
		for {
			horizon, months := store.horizon, len(store.allMonths)
			if err := store.retain(t.Context()); err != nil {
				return append(all, "error")
			}
			switch {
			case len(store.allMonths) < months:
				all = append(all, "rollups before "+time.UnixMilli(store.allMonths[0].start).UTC().Format("01-02T15"))
			case store.horizon > horizon:
				all = append(all, time.UnixMilli(store.horizon).UTC().Format("01-02T15"))
			default:
				return all
			}
		}
	}
	for _, c := range []struct {
		most int64
		want []string
	}{
		{used, nil},
		{used - 1, []string{"02-01T00"}},
		{1, []string{"03-01T00", "rollups before 02-01T00", "rollups before 03-01T00", "03-02T00"}},
	} {
		got := horizons(c.most)
		if diff := cmp.Diff(c.want, got[:min(len(got), max(len(c.want), 1))]); diff != "" && len(c.want)+len(got) > 0 {
			t.Errorf("horizons at %d of %d bytes (-want +got):\n%s", c.most, used, diff)
		}
		if c.most == 1 && (got[len(got)-1] != "error" || got[len(got)-2] != "03-20T11") {
			t.Errorf("the horizons are %v", got)
		}
	}
	wantAll(t, store, from(all, now.Truncate(time.Hour).Add(-time.Hour)))
	if after := du(t, dir); after > used/10 {
		t.Errorf("%d of %d bytes are left", after, used)
	}
}

// TestFreedByMonth: what a month is said to free is what it frees: its rollups stay, which are much of it here.
func TestFreedByMonth(t *testing.T) {
	for _, c := range []struct{ devices, perDay int }{{50, 2}, {10, 24}} {
		dir := t.TempDir()
		store := kept(t, dir, iot.Retention{})
		fill(t, store, history(c.devices, c.perDay))
		if err := store.SealAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		usage := func() iot.Usage { // without WALs
			t.Helper()
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			store = kept(t, dir, iot.Retention{})
			u, err := store.Usage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return u
		}
		u := usage()
		before := u.Readings
		if err := store.advance(t.Context(), u.Months[1].Start.UnixMilli()); err != nil {
			t.Fatal(err)
		}
		if _, err := store.removeExpired(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := usage()
		freed, said := before-after.Readings-after.Rollups, u.Months[0].Bytes
		if off := float64(said-freed) / float64(before); off < -0.1 || off > 0.1 {
			t.Errorf("%d devices, %d a day: %d of %d bytes are freed, and %d were said to be", c.devices, c.perDay, freed, before, said)
		}
	}
}

// TestGrowth: it is what yesterday takes, and nothing where as much is removed.
func TestGrowth(t *testing.T) {
	store := kept(t, t.TempDir(), iot.Retention{})
	perDay := func() int64 {
		t.Helper()
		u, err := store.Usage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return u.PerDay
	}
	if got := perDay(); got != -1 {
		t.Errorf("of nothing: %d", got)
	}
	today := now.Truncate(iot.Day)
	all := history(2, 24)
	fill(t, store, from(all, today))
	if got := perDay(); got != -1 {
		t.Errorf("of today alone: %d", got)
	}
	fill(t, store, all)
	u, err := store.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(float64(u.Readings) / float64(len(all)) * 48); u.PerDay != want {
		t.Errorf("48 of %d readings of yesterday are %d bytes, want %d", len(all), u.PerDay, want)
	}
	store.retention.Readings = 30 * iot.Day
	if err := store.retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := perDay(); got != 0 {
		t.Errorf("where a day comes, and a day goes: %d", got)
	}
}
