package readingstest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

var insertTests = []test{
	{"a reading is new once and a duplicate from then on", func(t *testing.T, store readings.Store) {
		r := reading(1, 0, 20)
		wantInserted(t, insert(t, store, r), iot.Inserted{New: 1})
		wantInserted(t, insert(t, store, r), iot.Inserted{Duplicates: 1})
		wantInserted(t, insert(t, store, r), iot.Inserted{Duplicates: 1})
		wantStored(t, store, r)
	}},
	{"other content at the same device and time is a conflict and the first stays", func(t *testing.T, store readings.Store) {
		first, second := reading(1, 0, 20), reading(1, 0, 21)
		insert(t, store, first)
		wantInserted(t, insert(t, store, second), iot.Inserted{Conflicts: []int{0}})
		wantInserted(t, insert(t, store, second), iot.Inserted{Conflicts: []int{0}})
		wantInserted(t, insert(t, store, first), iot.Inserted{Duplicates: 1})
		wantStored(t, store, first)
	}},
	{"within a batch the first of a device and time wins", func(t *testing.T, store readings.Store) {
		first, other := reading(1, 0, 20), reading(1, 0, 21)
		neighbour := reading(2, 0, 22)
		wantInserted(t, insert(t, store, first, other, neighbour, first, other),
			iot.Inserted{New: 2, Duplicates: 1, Conflicts: []int{1, 4}})
		wantStored(t, store, neighbour, first)
	}},
	{"within a batch readings are compared with the one that is stored", func(t *testing.T, store readings.Store) {
		stored, other := reading(1, 0, 20), reading(1, 0, 21)
		insert(t, store, stored)
		wantInserted(t, insert(t, store, other, stored, other),
			iot.Inserted{Duplicates: 1, Conflicts: []int{0, 2}})
		wantStored(t, store, stored)
	}},
	{"a millisecond and a device make a difference", func(t *testing.T, store readings.Store) {
		r, later, neighbour := reading(1, 0, 20), reading(1, 1, 20), reading(2, 0, 20)
		wantInserted(t, insert(t, store, r, later, neighbour), iot.Inserted{New: 3})
		wantStored(t, store, later, neighbour, r)
	}},
	{"a reading that is refused never fails its neighbours", func(t *testing.T, store readings.Store) {
		batch := series(1, 1000)
		var conflicts []int
		for i := 0; i < len(batch); i += 7 {
			conflicts = append(conflicts, i)
			insert(t, store, reading(1, 1000*i, -1))
		}
		wantInserted(t, insert(t, store, batch...),
			iot.Inserted{New: len(batch) - len(conflicts), Conflicts: conflicts})
		for _, i := range conflicts {
			batch[i] = reading(1, 1000*i, -1)
		}
		slices.Reverse(batch)
		wantStored(t, store, batch...)
	}},
	{"repeating a batch that was stored in part stores the rest", func(t *testing.T, store readings.Store) {
		batch := append(series(1, 500), series(2, 500)...)
		insert(t, store, batch[300:700]...)
		wantInserted(t, insert(t, store, batch...), iot.Inserted{New: 600, Duplicates: 400})
		wantInserted(t, insert(t, store, batch...), iot.Inserted{Duplicates: 1000})
	}},
	{"an empty batch is no error", func(t *testing.T, store readings.Store) {
		wantInserted(t, insert(t, store), iot.Inserted{})
		wantStored(t, store)
	}},
	{"a batch may be large in number and in bytes", func(t *testing.T, store readings.Store) {
		batch := series(1, 1500)
		for i := 0; i < len(batch); i += 75 { // 10 MiB in all
			batch[i].Attributes = []iot.Attribute{{Name: "blob", Value: strings.Repeat("x", 1<<19)}}
		}
		insert(t, store, batch[1425])
		wantInserted(t, insert(t, store, batch...), iot.Inserted{New: 1499, Duplicates: 1})
		wantInserted(t, insert(t, store, batch[1000:1200]...), iot.Inserted{Duplicates: 200})
	}},
	{"the batch is not kept, and what is found is the caller's", func(t *testing.T, store readings.Store) {
		batch := series(1, 100)
		insert(t, store, batch...)
		for _, seen := range [][]iot.Reading{batch, find(t, store, iot.ReadingQuery{Limit: 50}).Readings} {
			for i := range seen {
				seen[i].Metrics[0].Value = -1 // in the array that the store saw
			}
		}
		want := series(1, 100)
		slices.Reverse(want)
		wantStored(t, store, want...)
	}},
	{"preparing again changes nothing", func(t *testing.T, store readings.Store) {
		r := reading(1, 0, 20)
		insert(t, store, r)
		if err := store.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := store.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantStored(t, store, r)
	}},
	{"a call whose context has ended fails with its error and does not harm the store", func(t *testing.T, store readings.Store) {
		for name, call := range map[string]func(context.Context) error{
			"Prepare": store.Prepare,
			"Check":   store.Check,
			"InsertReadings": func(ctx context.Context) error {
				_, err := store.InsertReadings(ctx, series(1, 10))
				return err
			},
			"FindReadings": func(ctx context.Context) error {
				_, err := store.FindReadings(ctx, iot.ReadingQuery{Limit: 1})
				return err
			},
			"CountReadings": func(ctx context.Context) error {
				_, err := store.CountReadings(ctx)
				return err
			},
		} {
			if err := call(cancelled(t)); !errors.Is(err, context.Canceled) {
				t.Errorf("%s returned %v, want %v", name, err, context.Canceled)
			}
		}
		wantInserted(t, insert(t, store, reading(1, 0, 20)), iot.Inserted{New: 1})
	}},
	{"a call returns promptly when its context ends in the middle", func(t *testing.T, store readings.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		batch := series(1, 1000)
		stored := make(chan struct{}, 1)
		ended := make(chan error, 1)
		go func() {
			for day := 0; ; day++ {
				for i := range batch {
					batch[i].At = start.AddDate(0, 0, day).Add(time.Duration(i) * time.Second)
				}
				if _, err := store.InsertReadings(ctx, batch); err != nil {
					ended <- err
					return
				}
				select {
				case stored <- struct{}{}:
				default:
				}
			}
		}()
		<-stored // so that the next insert is under way or about to be
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Errorf("InsertReadings returned %v, want %v", err, context.Canceled)
			}
		case <-time.After(3 * time.Second):
			t.Fatal("InsertReadings goes on 3 s after its context ended")
		}
		again := insert(t, store, batch...) // whatever was stored of it
		if got := again.New + again.Duplicates; got != len(batch) {
			t.Errorf("repeating the batch stored or recognised %d of %d", got, len(batch))
		}
	}},
}
