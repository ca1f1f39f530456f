package deadletterstest

import (
	"errors"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/iot"
)

var changeTests = []test{
	{"a dead letter that was replayed says when and as how many readings, of the latest time", func(t *testing.T, store deadletters.Store) {
		first, second := deadLetter(1, iot.ReasonInvalidJSON, 1, 1), deadLetter(2, iot.ReasonInvalidJSON, 1, 0)
		insert(t, store, first, second)
		mark(t, store, start, 1, first.ID)
		mark(t, store, start.Add(time.Second), 3, first.ID)
		first.Replay = iot.Replay{At: start.Add(time.Second), Readings: 3}
		wantFound(t, store, iot.DeadLetterQuery{}, first, second)
		wantFound(t, store, iot.DeadLetterQuery{Replayed: &yes}, first)
		wantFound(t, store, iot.DeadLetterQuery{Replayed: &no}, second)
	}},
	{"marking passes over dead letters that are gone", func(t *testing.T, store deadletters.Store) {
		d := deadLetter(1, iot.ReasonInvalidJSON, 1, 1)
		insert(t, store, d)
		mark(t, store, start, 2, idOf(7), d.ID, idOf(8))
		d.Replay = iot.Replay{At: start, Readings: 2}
		wantFound(t, store, iot.DeadLetterQuery{}, d)
		mark(t, store, start, 2) // none
	}},
	{"a dead letter that was deleted is gone, and its neighbours are not", func(t *testing.T, store deadletters.Store) {
		a, b := deadLetter(1, iot.ReasonInvalidJSON, 1, 1), deadLetter(2, iot.ReasonInvalidJSON, 1, 1)
		insert(t, store, a, b)
		if err := store.DeleteDeadLetter(t.Context(), a.ID); err != nil {
			t.Fatal(err)
		}
		if err := store.DeleteDeadLetter(t.Context(), a.ID); !errors.Is(err, iot.ErrNotFound) {
			t.Errorf("deleting it again: %v", err)
		}
		wantFound(t, store, iot.DeadLetterQuery{}, b)
	}},
	{"deleting by a query deletes what it selects, and nothing else", func(t *testing.T, store deadletters.Store) {
		all := crowd(450)
		insert(t, store, all...)
		old := all[0]
		old.Replay = iot.Replay{At: start, Readings: 1}
		mark(t, store, start, 1, old.ID)
		for _, c := range []struct {
			query iot.DeadLetterQuery
			want  int
		}{
			{iot.DeadLetterQuery{Reason: iot.ReasonConflict}, 0},
			{iot.DeadLetterQuery{Source: "nowhere/+"}, 0},
			{iot.DeadLetterQuery{Devices: []iot.DeviceID{}}, 0},
			{iot.DeadLetterQuery{Devices: []iot.DeviceID{6, 77}, Limit: 1}, 225},
			{iot.DeadLetterQuery{Replayed: &no, From: start.Add(10 * time.Millisecond)}, 160},
			{iot.DeadLetterQuery{Replayed: &no}, 64},
		} {
			if n, err := store.DeleteDeadLetters(t.Context(), c.query); err != nil || n != c.want {
				t.Errorf("%+v: deleted %d, %v; want %d", c.query, n, err, c.want)
			}
		}
		wantFound(t, store, iot.DeadLetterQuery{}, old)
	}},
}
