package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// step is a request that changes something. Behind its response, the process is killed.
type step struct {
	name string
	of   func(request []byte) bool
	lost bool // the response is lost once, before: the process does it again
}

// write is a step of MongoDB.
func write(name, command, collection string, also ...string) step {
	text := binary.LittleEndian.AppendUint32([]byte("\x02"+command+"\x00"), uint32(len(collection)+1))
	text = append(text, collection+"\x00"...)
	return step{name: name, of: func(request []byte) bool {
		return bytes.Contains(request, text) && !slices.ContainsFunc(also, func(s string) bool { return !bytes.Contains(request, []byte(s)) })
	}}
}

func (s step) again() step {
	s.lost = true
	return s
}

var (
	storeSteps = []step{
		write("hours are marked before an insert", "update", "readings_dirty", "\x08open\x00"),
		write("readings are inserted", "insert", "readings").again(),
		write("hours are marked", "update", "readings_dirty", "$unset", "\x02open\x00").again(),
		write("days are computed", "update", "readings_days"),
		write("days are computed for the first time", "insert", "readings_days"),
		write("marks are removed", "delete", "readings_dirty"),
	}
	committed = step{name: "offsets are committed", of: func(request []byte) bool {
		const keyOfCommit = 8
		return len(request) > 6 && binary.BigEndian.Uint16(request[4:]) == keyOfCommit
	}}
	leased = write("the lease is taken", "update", "readings_dirty", "\x03lease\x00")
)

// TestKilledWriters has two processes store readings in the same hours, some of which both get. Each is killed behind each
// of its steps: in the end, what is rolled up is what was published, to the last bit.
func TestKilledWriters(t *testing.T) {
	k := newKilling(t)
	var g sync.WaitGroup
	for _, w := range k.writers {
		g.Go(func() {
			for _, at := range w.random.Perm(len(storeSteps) + 1) {
				s, proxy := committed, w.kafkaProxy
				if at < len(storeSteps) {
					s, proxy = storeSteps[at], w.mongoProxy
				}
				if err := w.killBehind(s, proxy); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	g.Wait()
	if t.Failed() {
		return
	}
	for _, w := range k.writers {
		if err := errors.Join(w.run(), w.publish()); err != nil { // behind all that was published before
			t.Fatal(err)
		}
	}
	k.eventually("all is stored", func() bool { return k.documents("readings") == k.published() })
	for _, w := range k.writers {
		w.stop()
	}
	last := k.writers[0]
	if err := last.run(); err != nil {
		t.Fatal(err)
	}
	k.eventually("no hour is marked", func() bool { return k.documents("readings_dirty") == 1 })
	last.stop()

	check := last.command("rollups", "check")
	if out, err := check.Output(); err != nil || !strings.Contains(string(out), "days of devices compared") {
		t.Errorf("rollups check: %v\n%s", err, out)
	}
	k.wantExact()
}

// wantExact compares the series with what was published.
func (k *killing) wantExact() {
	k.Helper()
	got, want := map[iot.DeviceID][]iot.Bucket{}, map[iot.DeviceID][]iot.Bucket{}
	err := k.store.ReadBuckets(k.Context(), iot.BucketQuery{Width: iot.Quarter}, func(b iot.Buckets) error {
		got[b.Device] = append(got[b.Device], b.Buckets...)
		return nil
	})
	if err != nil {
		k.Fatal(err)
	}
	slices.SortFunc(k.readings, func(a, b iot.Reading) int { return a.At.Compare(b.At) })
	for _, r := range k.readings {
		at, v := r.At.UnixMilli(), r.Metrics[0].Value
		start := r.At.Truncate(iot.Quarter).UnixMilli()
		of := want[r.Device]
		if n := len(of); n == 0 || of[n-1].Start != start {
			of = append(of, iot.Bucket{Start: start, Min: v, Max: v, First: v, FirstAt: at})
		}
		b := &of[len(of)-1]
		b.Count, b.Sum, b.Min, b.Max, b.Last, b.LastAt = b.Count+1, b.Sum+v, min(b.Min, v), max(b.Max, v), v, at
		want[r.Device] = of
	}
	if diff := cmp.Diff(want, got); diff != "" {
		k.Errorf("series (-want +got):\n%s", diff)
	}
}
