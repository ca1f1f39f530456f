package deadletterstest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/iot"
)

var yes, no = true, false

var findTests = []test{
	{"dead letters come newest first, and of one time by id descending", func(t *testing.T, store deadletters.Store) {
		a, b, c, d := deadLetter(3, iot.ReasonNoMetrics, 1, 5), deadLetter(2, iot.ReasonNoMetrics, 9, 5), deadLetter(9, iot.ReasonTooDeep, 0, 4), deadLetter(1, iot.ReasonTooDeep, 1, 5)
		insert(t, store, c, b, a, d)
		wantFound(t, store, iot.DeadLetterQuery{}, a, b, d, c)
	}},
	{"a query selects by reason, device, source, time and replay, and by all of them together", func(t *testing.T, store deadletters.Store) {
		var all []iot.DeadLetter // newest first
		for n := 15; n >= 0; n-- {
			d := deadLetter(n, iot.ReasonInvalidJSON, 1, n/2)
			if n&1 != 0 {
				d.Reason = iot.ReasonConflict
			}
			if n&2 != 0 {
				d.Device = 2
			}
			if n&4 != 0 {
				d.Device = 0
			}
			d.Source = []string{"plant/1/a.b", "plant/1/aXb", "plant/1/a.b/c", "plant", "plant/", "other\n", "größe/(1"}[n%7]
			all = append(all, d)
		}
		insert(t, store, all...)
		for i, d := range all {
			if d.ID[15]%3 == 0 {
				all[i].Replay = iot.Replay{At: start.Add(time.Minute), Readings: 2}
				mark(t, store, start.Add(time.Minute), 2, d.ID)
			}
		}
		at := func(ms float64) time.Time { return start.Add(time.Duration(ms * float64(time.Millisecond))) }
		for _, q := range []iot.DeadLetterQuery{
			{}, {Reason: iot.ReasonConflict}, {Reason: "none"}, {Device: 1}, {Device: 2}, {Device: 3},
			{Devices: []iot.DeviceID{}}, {Devices: []iot.DeviceID{2}}, {Devices: []iot.DeviceID{3, 1, 2}}, {Device: 1, Devices: []iot.DeviceID{1, 2}}, {Device: 1, Devices: []iot.DeviceID{2}},
			{Devices: []iot.DeviceID{1}, From: at(2), After: iot.DeadLetterCursor{Received: at(4), ID: idOf(9)}},
			{Source: "#"}, {Source: "+"}, {Source: "plant/+"}, {Source: "plant/#"}, {Source: "plant/+/#"}, {Source: "plant/+/a.b"}, {Source: "other"}, {Source: "größe/(1"},
			{Source: "plant/#", Reason: iot.ReasonConflict, To: at(5)},
			{From: at(3)}, {To: at(3)}, {From: at(2), To: at(5)}, {From: at(2.5), To: at(4.5)}, {From: at(5), To: at(2)},
			{From: at(3).In(time.FixedZone("", 3600))}, {Replayed: &yes}, {Replayed: &no},
			{After: iot.DeadLetterCursor{Received: at(4), ID: idOf(9)}}, {After: iot.DeadLetterCursor{Received: at(4), ID: idOf(8)}},
			{After: iot.DeadLetterCursor{Received: at(4), ID: idOf(9)}, From: at(4)}, {After: iot.DeadLetterCursor{Received: at(4), ID: idOf(9)}, To: at(3)},
			{Reason: iot.ReasonConflict, Device: 1, From: at(1), To: at(6), Replayed: &no, After: iot.DeadLetterCursor{Received: at(5), ID: idOf(1)}},
		} {
			var want []iot.DeadLetter
			for _, d := range all {
				if selects(q, d) {
					want = append(want, d)
				}
			}
			wantFound(t, store, q, want...)
		}
	}},
	{"a page has at most Limit dead letters, and Next only where there are more", func(t *testing.T, store deadletters.Store) {
		for n := range 5 {
			insert(t, store, deadLetter(n, iot.ReasonInvalidJSON, 1, n))
		}
		for _, c := range []struct {
			limit, length int
			more          bool
		}{{1, 1, true}, {4, 4, true}, {5, 5, false}, {6, 5, false}, {iot.MaxPage, 5, false}} {
			page := find(t, store, iot.DeadLetterQuery{Limit: c.limit})
			if len(page.DeadLetters) != c.length || page.Next.IsZero() == c.more {
				t.Errorf("limit %d: %d dead letters, next %+v; want %d, more: %v", c.limit, len(page.DeadLetters), page.Next, c.length, c.more)
			}
		}
	}},
	{"a page is cut where its bytes become too many, and a dead letter is never too long for one", func(t *testing.T, store deadletters.Store) {
		for n := range 6 {
			d := deadLetter(n, iot.ReasonTooLarge, 1, n)
			d.Bytes = bytes.Repeat([]byte{'x'}, iot.MaxDeadLetterPageBytes*2/5)
			if n == 3 {
				d.Bytes = bytes.Repeat([]byte{'x'}, iot.MaxDeadLetterPageBytes+1)
			}
			insert(t, store, d)
		}
		var pages [][]byte
		for q := (iot.DeadLetterQuery{Limit: 100}); len(pages) < 10; {
			page := find(t, store, q)
			var numbers []byte
			for _, d := range page.DeadLetters {
				numbers = append(numbers, d.ID[15])
			}
			pages = append(pages, numbers)
			if q.After = page.Next; page.Next.IsZero() {
				break
			}
		}
		if diff := cmp.Diff([][]byte{{5, 4}, {3}, {2, 1}, {0}}, pages); diff != "" {
			t.Errorf("pages (-want +got):\n%s", diff)
		}
	}},
	{"a page is cut, too, where the topics of its dead letters become too long", func(t *testing.T, store deadletters.Store) {
		const n, size = 150, 30_000
		for i := range n {
			d := deadLetter(i, iot.ReasonInvalidDeviceID, 1, i)
			d.Source, d.TopicDevice = strings.Repeat("s", size), strings.Repeat("d", size)
			insert(t, store, d)
		}
		page := find(t, store, iot.DeadLetterQuery{Limit: n})
		if got := len(page.DeadLetters) * 2 * size; got > iot.MaxDeadLetterPageBytes || got < iot.MaxDeadLetterPageBytes/2 || page.Next.IsZero() {
			t.Errorf("a page of %d dead letters, and %d bytes of topics", len(page.DeadLetters), got)
		}
	}},
	{"a limit out of bounds is invalid", func(t *testing.T, store deadletters.Store) {
		for _, limit := range []int{-1, 0, iot.MaxPage + 1} {
			if _, err := store.FindDeadLetters(t.Context(), iot.DeadLetterQuery{Limit: limit}); !errors.Is(err, iot.ErrInvalid) {
				t.Errorf("limit %d: %v, want %v", limit, err, iot.ErrInvalid)
			}
		}
	}},
	{"a dead letter that is not there is not found", func(t *testing.T, store deadletters.Store) {
		if d, err := store.DeadLetter(t.Context(), idOf(1)); !errors.Is(err, iot.ErrNotFound) {
			t.Errorf("%+v, %v", d, err)
		}
	}},
	{"counts are by reason, ascending, with those that were replayed", func(t *testing.T, store deadletters.Store) {
		wantCounts(t, store, iot.DeadLetterQuery{})
		insert(t, store, deadLetter(1, iot.ReasonNoMetrics, 1, 0), deadLetter(2, iot.ReasonConflict, 1, 1), deadLetter(3, iot.ReasonNoMetrics, 2, 2), deadLetter(4, "", 0, 3))
		mark(t, store, start, 1, idOf(1))
		wantCounts(t, store, iot.DeadLetterQuery{},
			iot.ReasonCount{Reason: "", Count: 1}, iot.ReasonCount{Reason: iot.ReasonConflict, Count: 1}, iot.ReasonCount{Reason: iot.ReasonNoMetrics, Count: 2, Replayed: 1})
		wantCounts(t, store, iot.DeadLetterQuery{Devices: []iot.DeviceID{}})
		wantCounts(t, store, iot.DeadLetterQuery{Devices: []iot.DeviceID{1}}, iot.ReasonCount{Reason: iot.ReasonConflict, Count: 1}, iot.ReasonCount{Reason: iot.ReasonNoMetrics, Count: 1, Replayed: 1})
		wantCounts(t, store, iot.DeadLetterQuery{Device: 2}, iot.ReasonCount{Reason: iot.ReasonNoMetrics, Count: 1})
	}},
	{"counts are by source too, the most frequent first, with those that were replayed and the newest", func(t *testing.T, store deadletters.Store) {
		wantSources(t, store, iot.DeadLetterQuery{})
		of := func(n int, source string, ms int) iot.DeadLetter {
			d := deadLetter(n, iot.ReasonNoMetrics, 1, ms)
			d.Source = source
			return d
		}
		long := strings.Repeat("ü", iot.MaxSourceLength)
		conflict := of(7, "b", 9)
		conflict.Reason = iot.ReasonConflict
		insert(t, store, of(1, "a", 3), of(2, "b", 1), of(9, "b", 2), of(3, "b", 2), of(4, "c", 0), of(5, long+"x", 0), of(6, long+"y", 1), conflict)
		mark(t, store, start, 1, idOf(2), idOf(3))
		wantSources(t, store, iot.DeadLetterQuery{Reason: iot.ReasonNoMetrics},
			iot.SourceCount{Source: "b", Count: 3, Replayed: 2, Newest: idOf(9)},
			iot.SourceCount{Source: long, Count: 2, Newest: idOf(6)},
			iot.SourceCount{Source: "a", Count: 1, Newest: idOf(1)},
			iot.SourceCount{Source: "c", Count: 1, Newest: idOf(4)})
		wantSources(t, store, iot.DeadLetterQuery{Reason: iot.ReasonConflict}, iot.SourceCount{Source: "b", Count: 1, Newest: idOf(7)})
	}},
	{"of very many the newest are counted by source", func(t *testing.T, store deadletters.Store) {
		all := make([]iot.DeadLetter, iot.MaxDeadLettersBySource+5)
		for i := range all {
			all[i] = deadLetter(i, iot.ReasonNoMetrics, 1, i)
			if i < 10 {
				all[i].Source = "old"
			}
		}
		for batch := range slices.Chunk(all, 1000) {
			insert(t, store, batch...)
		}
		wantSources(t, store, iot.DeadLetterQuery{},
			iot.SourceCount{Source: "sensors/data", Count: iot.MaxDeadLettersBySource - 5, Newest: all[len(all)-1].ID},
			iot.SourceCount{Source: "old", Count: 5, Newest: all[9].ID})
	}},
}

// selects says what q selects, in plain words.
func selects(q iot.DeadLetterQuery, d iot.DeadLetter) bool {
	return (q.Reason == "" || d.Reason == q.Reason) &&
		(q.Device == 0 || d.Device == q.Device) &&
		(q.Devices == nil || slices.Contains(q.Devices, d.Device)) &&
		(q.Source == "" || q.Source.Selects(d.Source)) &&
		(q.From.IsZero() || !d.Received.Before(q.From)) &&
		(q.To.IsZero() || d.Received.Before(q.To)) &&
		(q.Replayed == nil || *q.Replayed == !d.Replay.At.IsZero()) &&
		(q.After.IsZero() || d.Received.Before(q.After.Received) ||
			d.Received.Equal(q.After.Received) && bytes.Compare(d.ID[:], q.After.ID[:]) < 0)
}

func wantCounts(t *testing.T, store deadletters.Store, q iot.DeadLetterQuery, want ...iot.ReasonCount) {
	t.Helper()
	counts, err := store.CountDeadLetters(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(counts)+len(want) > 0 {
		if diff := cmp.Diff(want, counts); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	}
}

func wantSources(t *testing.T, store deadletters.Store, q iot.DeadLetterQuery, want ...iot.SourceCount) {
	t.Helper()
	counts, err := store.CountDeadLetterSources(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if len(counts)+len(want) > 0 {
		if diff := cmp.Diff(want, counts); diff != "" {
			t.Errorf("sources (-want +got):\n%s", diff)
		}
	}
}
