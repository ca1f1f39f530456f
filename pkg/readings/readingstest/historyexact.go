package readingstest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

var exactTests = []historyTest{
	{"every answer is what the readings say, whatever came, in whatever order, and whenever the store was maintained", func(t *testing.T, h *history) {
		const messages, mostOfBatch = 1200, 80
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		l, m := newLoad(seed), newModel()
		insertBatch := func(n int) {
			batch := l.batch(n)
			wantInserted(t, insert(t, h, batch...), m.insert(batch))
		}
		for n := 0; n < messages && !t.Failed(); {
			size := 1 + l.random.IntN(mostOfBatch)
			insertBatch(size)
			switch l.random.IntN(8) {
			case 0:
				h.maintain(t)
			case 1:
				wantAnswers(t, h, l, m.check(t, h), 2)
			}
			n += size
		}
		before := m.check(t, h)
		wantAnswers(t, h, l, before, 10)
		h.maintain(t)
		after := m.check(t, h)
		if !slices.EqualFunc(before, after, sameReading) {
			t.Error("maintenance has moved readings")
		}
		wantAnswers(t, h, l, after, 5)
		t.Log("after one more")
		for range 3 {
			insertBatch(1)
			wantAnswers(t, h, l, m.check(t, h), 2)
		}
		t.Log("opened again")
		h.reopen(t)
		wantAnswers(t, h, l, m.check(t, h), 3)
		t.Log("maintained again")
		h.maintain(t)
		wantAnswers(t, h, l, m.check(t, h), 3)
		wantInserted(t, insert(t, h, l.sent...), m.insert(l.sent))
		t.Log("and again")
		h.maintain(t)
		h.reopen(t)
		wantAnswers(t, h, l, m.check(t, h), 3)
	}},
}

// wantAnswers compares what store answers to n questions of each kind with what all, all its readings, oldest first, say.
func wantAnswers(t *testing.T, store readings.Store, l *load, all []iot.Reading, n int) {
	t.Helper()
	for range n {
		for range 4 {
			wantScan(t, store, l, all)
			wantPage(t, store, l, all)
		}
		wantSamples(t, store, l, all)
		wantBuckets(t, store, l, all)
		if t.Failed() {
			t.FailNow()
		}
	}
	counted := map[iot.DeviceID]int64{}
	for _, r := range all {
		counted[r.Device]++
	}
	want := []iot.DeviceCount{}
	for _, device := range slices.Sorted(maps.Keys(counted)) {
		want = append(want, iot.DeviceCount{Device: device, Count: counted[device]})
	}
	counts, err := store.CountReadings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, counts, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func wantScan(t *testing.T, store readings.Store, l *load, all []iot.Reading) {
	t.Helper()
	q := l.scanQuery()
	want := selected(all, q)
	var got []iot.Reading
	most := 1 + l.random.IntN(2*len(want)+1)
	err := store.ScanReadings(t.Context(), q, func(r *iot.Reading) (bool, error) {
		got = append(got, copyOf(*r))
		return len(got) < most, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want = want[:min(most, len(want))]
	wantSameReadings(t, fmt.Sprintf("scan %+v of at most %d", q, most), got, want)
}

func wantPage(t *testing.T, store readings.Store, l *load, all []iot.Reading) {
	t.Helper()
	scan := l.scanQuery()
	scan.Newest = true
	want := selected(all, scan)
	q := iot.ReadingQuery{Devices: scan.Devices, From: scan.From, To: scan.To, After: scan.After, Limit: 1 + l.random.IntN(len(want)+5)}
	page := find(t, store, q)
	if more := len(want) > q.Limit; more == page.Next.IsZero() {
		t.Errorf("page %+v: next %+v, though there are %d", q, page.Next, len(want))
	}
	want = want[:min(q.Limit, len(want))]
	wantSameReadings(t, fmt.Sprintf("page %+v", q), page.Readings, want)
}

func wantSameReadings(t *testing.T, what string, got, want []iot.Reading) {
	t.Helper()
	if slices.EqualFunc(got, want, sameReading) {
		return
	}
	i := 0
	for i < min(len(got), len(want)) && sameReading(got[i], want[i]) {
		i++
	}
	t.Errorf("%s: %d readings, want %d; number %d differs", what, len(got), len(want), i)
	wantReadings(t, got[i:min(i+1, len(got))], want[i:min(i+1, len(want))])
}

func wantSamples(t *testing.T, store readings.Store, l *load, all []iot.Reading) {
	t.Helper()
	q := l.sampleQuery()
	got, want := samples(t, store, q), samplesOf(all, q)
	sameSample := func(a, b sample) bool { return a.at == b.at && sameBits(a.value, b.value) }
	for key := range union(got, want) {
		if !slices.EqualFunc(got[key], want[key], sameSample) {
			t.Errorf("samples %+v: %d of %+v, want %d: %v, want %v", q, len(got[key]), key, len(want[key]), first(got[key]), first(want[key]))
		}
	}
}

func wantBuckets(t *testing.T, store readings.Store, l *load, all []iot.Reading) {
	t.Helper()
	q := l.bucketQuery()
	got, values := buckets(t, store, q), samplesOf(all, q.SampleQuery)
	for key := range union(got, values) {
		want, magnitudes := bucketsOf(values[key], q.Width)
		if len(got[key]) != len(want) {
			t.Errorf("buckets %+v: %d of %+v, want %d: %+v, want %+v", q, len(got[key]), key, len(want), first(got[key]), first(want))
			continue
		}
		for i, b := range got[key] {
			if !sameBucket(b, want[i], magnitudes[i]) {
				t.Errorf("buckets %+v: number %d of %+v is\n%+v, want\n%+v", q, i, key, b, want[i])
			}
		}
	}
}

// union returns the keys of a and b.
func union[A, B any](a map[seriesOf]A, b map[seriesOf]B) map[seriesOf]bool {
	all := map[seriesOf]bool{}
	for key := range a {
		all[key] = true
	}
	for key := range b {
		all[key] = true
	}
	return all
}

// first returns the beginning of list.
func first[T any](list []T) []T { return list[:min(5, len(list))] }
