package latesttest

import (
	"context"
	"errors"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
)

var completeTests = []test{
	{"a new cache is not complete, whatever it is given", func(t *testing.T, c latest.Cache) {
		put(t, c, long, reading(1, base, 1))
		checkComplete(t, c, false)
	}},
	{"a cache is complete when what it may have lost was offered again", func(t *testing.T, c latest.Cache) {
		older, newer := reading(1, base, 1), reading(2, base, 2)
		put(t, c, long, newer)
		err := c.Restore(t.Context(), func(ctx context.Context) error {
			checkComplete(t, c, false)
			_, err := c.PutLatest(ctx, []iot.Reading{older, newer}, long)
			return err
		})
		if err != nil {
			t.Fatalf("Restore: %v", err)
		}
		checkComplete(t, c, true)
		checkAll(t, c, older, newer)
	}},
	{"a cache that could not be filled is not complete", func(t *testing.T, c latest.Cache) {
		away := errors.New("away")
		if err := c.Restore(t.Context(), func(context.Context) error { return away }); !errors.Is(err, away) {
			t.Errorf("Restore: %v, want %v", err, away)
		}
		checkComplete(t, c, false)
	}},
}

func checkComplete(t *testing.T, c latest.Cache, want bool) {
	t.Helper()
	if got, err := c.Complete(t.Context()); err != nil || got != want {
		t.Errorf("Complete: %v, %v; want %v", got, err, want)
	}
}
