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
