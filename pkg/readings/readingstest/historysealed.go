package readingstest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

var sealedTests = []historyTest{
	{"maintenance changes no bit of any reading", func(t *testing.T, h *history) {
		var stored []iot.Reading // oldest first
		for i := range 300 {
			r := reading(1, 1000*i+i%3, 0)
			r.Metrics = nil
			for j := range 64 {
				if (i+j)%7 != 0 { // not all of them always
					r.Metrics = append(r.Metrics, metric(fmt.Sprintf("metric.%02d", j), extremes[(i*j)%len(extremes)]))
				}
			}
			switch i % 5 {
			case 0:
				r.Attributes = []iot.Attribute{attribute("firmware", fmt.Sprint("1.", i/100))}
			case 1:
				r.Stamped, r.Origin, r.Said = iot.StampServer, 1<<63+uint64(i), "noon"
			case 2:
				r.Stamped, r.Received = iot.StampUnknown, time.UnixMilli(0).UTC()
			case 3:
				r.Attributes = []iot.Attribute{attribute("$x", "\x00\n\"'\\ \u2028 €"), attribute("site", ""), attribute("\U0001f321", fmt.Sprint(i))}
			}
			stored = append(stored, r)
		}
		keyed := reading(iot.KeyID(strangeKey), 0, 20)
		keyed.Key = strangeKey
		last := reading(2, 0, 20)
		last.At = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
		firstOfAll := reading(2, 0, 20)
		firstOfAll.At = time.UnixMilli(0).UTC()
		insert(t, h, append(stored, keyed, last, firstOfAll)...)
		stored = slices.Concat([]iot.Reading{firstOfAll, stored[0], keyed}, stored[1:], []iot.Reading{last})
		for _, when := range []string{"inserted", "maintained", "opened again", "maintained again"} {
			switch when {
			case "opened again":
				h.reopen(t)
			case "maintained", "maintained again":
				h.maintain(t)
			}
			wantSameReadings(t, when, scan(t, h, iot.ScanQuery{}), stored)
		}
	}},
	{"one that comes late on a day that had none is in the buckets of the rest of its hour", func(t *testing.T, h *history) {
		now, late := reading(1, 0, 20), reading(1, 0, 21)
		now.At, late.At = monthEnd, longAgo.Add(50*time.Minute)
		insert(t, h, now)
		h.maintain(t)
		insert(t, h, late)
		from := longAgo.Add(45 * time.Minute)
		q := iot.BucketQuery{SampleQuery: iot.SampleQuery{From: from, To: monthEnd}, Width: iot.Quarter}
		for _, q.Devices = range [][]iot.DeviceID{nil, {1}} {
			of := buckets(t, h, q)[seriesOf{1, iot.Temperature}]
			if len(of) != 1 || of[0].Start != from.UnixMilli() || of[0].Count != 1 {
				t.Errorf("of devices %v: buckets %+v, want one of %v", q.Devices, of, from)
			}
		}
	}},
	{"one that comes again after 40 days is a duplicate, a conflict, or merged, as it would have been on the first", func(t *testing.T, h *history) {
		old := func(ms int, value float64) iot.Reading {
			r := reading(1, 0, value)
			r.At = longAgo.Add(time.Duration(ms) * time.Millisecond)
			return r
		}
		var batch []iot.Reading
		for i := range 500 {
			batch = append(batch, old(1000*i, float64(i)))
		}
		insert(t, h, batch...)
		now := old(0, 1)
		now.At = monthEnd
		insert(t, h, now)
		h.maintain(t)

		wantInserted(t, insert(t, h, batch[7]), iot.Inserted{Duplicates: 1})
		wantInserted(t, insert(t, h, batch...), iot.Inserted{Duplicates: len(batch)})
		wantInserted(t, insert(t, h, batch[8], old(7000, 8), batch[9]), iot.Inserted{Duplicates: 2, Conflicts: []int{1}})
		want := append(slices.Clone(batch), now)
		wantSameReadings(t, "after a conflict", scan(t, h, iot.ScanQuery{}), want)

		more := old(7000, 0)
		more.Metrics = []iot.Metric{metric("voltage", 3.3)}
		want[7].Metrics = append(slices.Clone(want[7].Metrics), more.Metrics...)
		late := old(7001, 5)
		for i := range 2 {
			t.Log("round", i)
			wantInserted(t, insert(t, h, more, late), []iot.Inserted{{New: 1, Merged: 1}, {Duplicates: 2}}[i])
			if i == 0 {
				want = slices.Insert(want, 8, late)
			}
			wantSameReadings(t, "after a merge", scan(t, h, iot.ScanQuery{}), want)
			h.maintain(t)
			wantSameReadings(t, "after a merge and maintenance", scan(t, h, iot.ScanQuery{}), want)
			wantInserted(t, insert(t, h, batch[7], more, late), iot.Inserted{Duplicates: 3})
		}
	}},
	{"what a server stamped makes room in old times as in new ones, over the end of a month", func(t *testing.T, h *history) {
		m := newModel()
		last := monthEnd.Add(-2 * time.Millisecond)
		message := func(origin uint64, ms int) iot.Reading {
			r := stamped(origin, 0, float64(origin))
			r.At = last.Add(time.Duration(ms) * time.Millisecond)
			return r
		}
		insertAll := func(batch ...iot.Reading) {
			t.Helper()
			wantInserted(t, insert(t, h, batch...), m.insert(batch))
			m.check(t, h)
		}
		insertAll(message(1, 0), message(2, 0), message(3, 0), message(4, 0)) // two of them in the next month
		h.maintain(t)
		insertAll(message(1, 0), message(2, 0), message(3, 0), message(4, 0))
		insertAll(message(5, 0))
		h.maintain(t)
		for ms := range 4 { // each takes the place of another one
			own := message(0, ms)
			own.Stamped = iot.StampDevice
			insertAll(own)
			insertAll(message(1, 0), message(2, 0), message(3, 0), message(4, 0), message(5, 0), own)
			if ms == 1 {
				h.maintain(t)
			}
		}
		h.maintain(t)
		h.reopen(t)
		insertAll(message(5, 0), message(4, 0), message(3, 0), message(2, 0), message(1, 0))
	}},
}
