// Package deadletterstest holds the promises of a store of dead letters as tests, which every backend passes.
// It is imported by tests only.
package deadletterstest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// Open returns a store that is empty, prepared, and t's own. It is closed when t ends.
type Open func(t testing.TB) deadletters.Store

// Run runs the whole suite, each test on a store of its own.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"insert", insertTests},
		{"find", findTests},
		{"pages", pageTests},
		{"change", changeTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.promise, func(t *testing.T) { test.run(t, open(t)) })
			}
		})
	}
}

type test struct {
	promise string
	run     func(t *testing.T, store deadletters.Store)
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// idOf returns an id; those of greater numbers are greater.
func idOf(n int) (id iot.DeadLetterID) {
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// deadLetter returns dead letter number n, of a device, ms milliseconds after start.
func deadLetter(n int, reason iot.Reason, device iot.DeviceID, ms int) iot.DeadLetter {
	return iot.DeadLetter{
		Rejection: iot.Rejection{Reason: reason, Detail: "byte 0", Device: device, Bytes: fmt.Appendf(nil, "junk %d", n)},
		ID:        idOf(n),
		Source:    "sensors/data",
		Received:  start.Add(time.Duration(ms) * time.Millisecond),
	}
}

func insert(t testing.TB, store deadletters.Store, batch ...iot.DeadLetter) {
	t.Helper()
	if stored, err := store.InsertDeadLetters(t.Context(), batch); err != nil || stored != len(batch) {
		t.Fatalf("insert %d: %d, %v", len(batch), stored, err)
	}
}

func find(t testing.TB, store deadletters.Store, q iot.DeadLetterQuery) iot.DeadLetterPage {
	t.Helper()
	page, err := store.FindDeadLetters(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// wantFound checks that q finds exactly want, in that order, and that as many are counted.
func wantFound(t *testing.T, store deadletters.Store, q iot.DeadLetterQuery, want ...iot.DeadLetter) {
	t.Helper()
	q.Limit = iot.MaxPage
	got := find(t, store, q).DeadLetters
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" && len(want)+len(got) > 0 {
		t.Errorf("%+v (-want +got):\n%s", q, diff)
	}
	counts, err := store.CountDeadLetters(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range counts {
		n += int(c.Count)
	}
	if n != len(want) {
		t.Errorf("%+v counts %d, want %d", q, n, len(want))
	}
}

// mark marks dead letters as replayed at a moment, as so many readings.
func mark(t testing.TB, store deadletters.Store, at time.Time, readings int, ids ...iot.DeadLetterID) {
	t.Helper()
	replays := map[iot.DeadLetterID]iot.Replay{}
	for _, id := range ids {
		replays[id] = iot.Replay{At: at, Readings: readings}
	}
	if err := store.MarkReplayed(t.Context(), replays); err != nil {
		t.Fatal(err)
	}
}

// cancelled returns a context that has ended.
func cancelled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
