package sqlite

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	db "github.com/telltale-iot/telltale/pkg/sqlite"
)

// TestOneBadMonth has a month that cannot be written, as where a page of it is damaged: the others are sealed and removed,
// and what is not in the rollups stays.
func TestOneBadMonth(t *testing.T) {
	dir := t.TempDir()
	store := kept(t, dir, iot.Retention{})
	fill(t, store, history(1, 24))
	if err := store.sealBefore(t.Context(), now.UnixMilli()); err != nil {
		t.Fatal(err)
	}
	late, fresh := oneOf(1)[0], oneOf(1)[0]
	late.At = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	fresh.At = now.Add(-5*time.Hour + time.Second)
	insertAll(t, store, []iot.Reading{late, fresh}, iot.Inserted{New: 2})
	file, err := db.Open(filepath.Join(dir, "readings", "2026-02.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write.ExecContext(t.Context(), `ALTER TABLE days RENAME TO lost`); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	store.sealAfter = 2 * time.Hour
	store.retention.Readings = 40 * 24 * time.Hour // January goes, and some of February would
	if _, err := store.maintain(t.Context()); err == nil || !strings.Contains(err.Error(), "2026-02.db") {
		t.Errorf("the error is %v", err)
	}
	if n := len(store.hot.between(1, fresh.At.UnixMilli(), fresh.At.UnixMilli()+1)); n != 0 {
		t.Error("March is not sealed")
	}
	if !store.allMonths[0].daysOnly {
		t.Error("January is not removed")
	}
	if want := late.At.Truncate(time.Hour).UnixMilli(); store.horizon != want {
		t.Errorf("the horizon is at %v, want %v: before what is not rolled up", time.UnixMilli(store.horizon).UTC(), late.At)
	}
	if _, err := file.Write.ExecContext(t.Context(), `ALTER TABLE lost RENAME TO days`); err != nil {
		t.Fatal(err)
	}
	if _, err := store.maintain(t.Context()); err != nil {
		t.Error(err)
	}
	if want := hourOf(now.Add(-store.retention.Readings).UnixMilli()); store.horizon != want {
		t.Errorf("the horizon is at %v when all can be written again", time.UnixMilli(store.horizon).UTC())
	}
}
