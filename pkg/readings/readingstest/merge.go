package readingstest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readings"
)

// holding returns a reading of device 1 with exactly these members, iot.Metrics and iot.Attributes.
func holding(ms int, members ...any) iot.Reading {
	r := reading(1, ms, 0)
	r.Metrics = nil
	for _, m := range members {
		switch m := m.(type) {
		case iot.Metric:
			r.Metrics = append(r.Metrics, m)
		case iot.Attribute:
			r.Attributes = append(r.Attributes, m)
		}
	}
	slices.SortFunc(r.Metrics, func(a, b iot.Metric) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Attributes, func(a, b iot.Attribute) int { return cmp.Compare(a.Name, b.Name) })
	return r
}

func attribute(name, value string) iot.Attribute { return iot.Attribute{Name: name, Value: value} }

var (
	warm    = metric(iot.Temperature, 20)
	wet     = metric(iot.Humidity, 40)
	voltage = metric("voltage", 3.3)
	site    = attribute("site", "roof")
)

var mergeTests = []test{
	{"readings of one moment that have different members are merged", func(t *testing.T, store readings.Store) {
		wantInserted(t, insert(t, store, holding(0, warm)), iot.Inserted{New: 1})
		wantInserted(t, insert(t, store, holding(0, voltage, site)), iot.Inserted{Merged: 1})
		wantInserted(t, insert(t, store, holding(0, wet)), iot.Inserted{Merged: 1})
		wantStored(t, store, holding(0, warm, wet, voltage, site))
	}},
	{"so are those that have some members in common, with the same values", func(t *testing.T, store readings.Store) {
		insert(t, store, holding(0, warm, voltage, site))
		wantInserted(t, insert(t, store, holding(0, wet, voltage, site, attribute("a", "b"))), iot.Inserted{Merged: 1})
		wantStored(t, store, holding(0, warm, wet, voltage, site, attribute("a", "b")))
	}},
	{"another value of one member is a conflict, and nothing of that reading is stored", func(t *testing.T, store readings.Store) {
		stored := holding(0, warm, voltage, site)
		insert(t, store, stored)
		for _, r := range []iot.Reading{
			holding(0, wet, metric(iot.Temperature, 21)),
			holding(0, wet, metric("voltage", 3.4)),
			holding(0, wet, attribute("site", "cellar")),
		} {
			wantInserted(t, insert(t, store, r), iot.Inserted{Conflicts: []int{0}})
		}
		wantStored(t, store, stored)
	}},
	{"each of several that were merged, and all of them together, are duplicates when they come again", func(t *testing.T, store readings.Store) {
		all := []iot.Reading{holding(0, warm), holding(0, wet, voltage), holding(0, voltage, site)}
		wantInserted(t, insert(t, store, all...), iot.Inserted{New: 1, Merged: 2})
		for range 2 {
			for _, r := range all {
				wantInserted(t, insert(t, store, r), iot.Inserted{Duplicates: 1})
			}
			wantInserted(t, insert(t, store, all...), iot.Inserted{Duplicates: 3})
			wantInserted(t, insert(t, store, holding(0, warm, wet, voltage, site)), iot.Inserted{Duplicates: 1})
		}
		wantStored(t, store, holding(0, warm, wet, voltage, site))
	}},
	{"within a batch readings are merged, whatever is between them, and the first of several values wins", func(t *testing.T, store readings.Store) {
		wantInserted(t, insert(t, store,
			holding(0, warm), holding(1, warm), holding(0, voltage), holding(0, warm, voltage), holding(0, wet, metric("voltage", 3.4)),
			holding(1, wet), holding(0, wet),
		), iot.Inserted{New: 2, Merged: 3, Duplicates: 1, Conflicts: []int{4}})
		wantStored(t, store, holding(1, warm, wet), holding(0, warm, wet, voltage))
	}},
	{"within a batch they are compared with what is stored first", func(t *testing.T, store readings.Store) {
		insert(t, store, holding(0, voltage))
		wantInserted(t, insert(t, store,
			holding(0, warm), holding(0, metric("voltage", 3.4)), holding(0, voltage), holding(0, metric(iot.Temperature, 21)), holding(0, wet),
		), iot.Inserted{Merged: 2, Duplicates: 1, Conflicts: []int{1, 3}})
		wantStored(t, store, holding(0, warm, wet, voltage))
	}},
	{"a merged reading was received when the first of them was, and has the key and the time that one of them has", func(t *testing.T, store readings.Store) {
		want := holding(0, warm, wet, voltage)
		want.Device = iot.KeyID("kitchen-1")
		first, second, third := want, want, want
		first.Metrics, second.Metrics, third.Metrics = want.Metrics[:1], want.Metrics[1:2], want.Metrics[2:]
		second.Received = first.Received.Add(-time.Second)
		second.Key = "kitchen-1"
		third.Received = first.Received.Add(time.Second)
		third.Said = "noon"
		for _, r := range []iot.Reading{first, second, third} {
			insert(t, store, r)
		}
		want.Received, want.Key, want.Said = second.Received, second.Key, third.Said
		wantStored(t, store, want)
	}},
	{"names are merged whatever they mean elsewhere", func(t *testing.T, store readings.Store) {
		var want []any
		for i, name := range strangeNames {
			members := []any{metric(name, float64(i)), attribute(name, name)}
			want = append(want, members...)
			outcome := iot.Inserted{Merged: 1}
			if i == 0 {
				outcome = iot.Inserted{New: 1}
			}
			wantInserted(t, insert(t, store, holding(0, members...)), outcome)
		}
		want = append(want, warm, wet)
		wantInserted(t, insert(t, store, holding(0, warm), holding(0, wet)), iot.Inserted{Merged: 2})
		wantStored(t, store, holding(0, want...))
	}},
	{"what a server stamped is not merged: it makes room for one that is, and stays whole", func(t *testing.T, store readings.Store) {
		server, late := stamped(1, 0, 20), stamped(2, 0, 21)
		insert(t, store, server)
		wantInserted(t, insert(t, store, holding(0, voltage), holding(0, site, voltage), holding(0, metric("voltage", 1))),
			iot.Inserted{New: 1, Merged: 1, Conflicts: []int{2}})
		wantInserted(t, insert(t, store, late, holding(0, wet)), iot.Inserted{New: 1, Merged: 1})
		wantInserted(t, insert(t, store, holding(1, voltage), holding(1, wet)), iot.Inserted{New: 1, Merged: 1})
		for range 2 {
			wantInserted(t, insert(t, store, server, late, holding(0, wet, voltage, site), holding(1, voltage), holding(1, wet)),
				iot.Inserted{Duplicates: 5})
		}
		wantStored(t, store, at(server, 3), at(late, 2), holding(1, wet, voltage), holding(0, wet, voltage, site))
	}},
	{"one with more members than are merged is a conflict, and the next one is stored", func(t *testing.T, store readings.Store) {
		var full []any
		for i := range iot.MaxMergedMembers - 1 {
			full = append(full, metric(fmt.Sprintf("m%05d", i), 1))
		}
		insert(t, store, holding(0, full...))
		wantInserted(t, insert(t, store, holding(0, warm), holding(0, wet), holding(1, wet)),
			iot.Inserted{New: 1, Merged: 1, Conflicts: []int{1}})
		wantStored(t, store, holding(1, wet), holding(0, append(full, warm)...))
	}},
	{"so is one that would be too large, and those that are not are merged, several in a batch", func(t *testing.T, store readings.Store) {
		const moments, half = 2, iot.MaxContentBytes / 2
		large := func(name string, n int) iot.Attribute { return attribute(name, strings.Repeat("x", n-len(name))) }
		first := large("first", half-len(iot.Temperature)-8)
		second := large("second", half-len(iot.Humidity)-8)
		var batch []iot.Reading
		for ms := range moments {
			insert(t, store, holding(ms, warm, first))
			batch = append(batch, holding(ms, wet, second))
		}
		wantInserted(t, insert(t, store, batch...), iot.Inserted{Merged: moments})
		wantInserted(t, insert(t, store, holding(0, voltage)), iot.Inserted{Conflicts: []int{0}})
		for ms := range moments {
			r := holding(ms, warm, wet, first, second)
			wantReadings(t, find(t, store, iot.ReadingQuery{From: r.At, To: r.At.Add(1), Limit: 1}).Readings, []iot.Reading{r})
		}
	}},
	{"what is stored does not depend on the order, on repetitions, or on the batches", func(t *testing.T, store readings.Store) {
		for seed := range uint64(20) {
			mergeAnything(t, store, seed, 1)
		}
	}},
	{"nor on how many writers there are", func(t *testing.T, store readings.Store) {
		for seed := range uint64(5) {
			mergeAnything(t, store, 100+seed, 3)
		}
	}},
	{"of writers that have different members each adds its own, and counts them", func(t *testing.T, store readings.Store) {
		const moments = 50
		var want []iot.Reading
		for ms := range moments {
			var members []any
			for writer := range writers {
				members = append(members, metric(fmt.Sprint("m", writer), float64(ms)))
			}
			want = append(want, holding(ms, members...))
		}
		sum := together(t, writers, func(writer int) (iot.Inserted, error) {
			var batch []iot.Reading
			for ms := range moments {
				batch = append(batch, holding(ms, metric(fmt.Sprint("m", writer), float64(ms))))
			}
			if writer%2 == 1 {
				slices.Reverse(batch)
			}
			return store.InsertReadings(t.Context(), batch)
		})
		wantInserted(t, sum, iot.Inserted{New: moments, Merged: (writers - 1) * moments})
		slices.Reverse(want)
		wantStored(t, store, want...)
	}},
}

// mergeAnything has writers store the messages of devices that send their members in any pieces, in batches and with
// repetitions of their own, beside readings that a server stamped with the same times. No two members conflict.
func mergeAnything(t *testing.T, store readings.Store, seed uint64, writers int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	base := int(seed) * 1000 // ms
	names := []string{iot.Humidity, iot.Temperature, "a.b", "$c", "d"}
	var want, messages []iot.Reading
	origins := map[uint64]bool{}
	for ms := range 6 {
		var metrics, attributes []any
		for _, name := range names {
			if len(metrics) == 0 || random.IntN(3) > 0 {
				metrics = append(metrics, metric(name, float64(random.IntN(100))))
			}
			if random.IntN(3) == 0 {
				attributes = append(attributes, attribute(name, fmt.Sprint(random.IntN(100))))
			}
		}
		all := slices.Concat(metrics, attributes)
		want = append(want, holding(base+ms, all...))
		for len(all) > 0 { // each member is in one message, and some in others too
			n := 1 + random.IntN(len(all))
			message := map[any]bool{metrics[random.IntN(len(metrics))]: true}
			for _, m := range all[:n] {
				message[m] = true
			}
			all = all[n:]
			messages = append(messages, holding(base+ms, keys(message)...))
		}
		if random.IntN(2) == 0 {
			origin := uint64(base + ms + 1)
			origins[origin] = true
			messages = append(messages, stamped(origin, base+ms, 20))
		}
	}
	insertAll := func(writer int) (sum iot.Inserted, err error) {
		random := rand.New(rand.NewPCG(seed, 2+uint64(writer)))
		mine := slices.Concat(messages, messages[:random.IntN(len(messages))])
		random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		for len(mine) > 0 {
			n := 1 + random.IntN(len(mine))
			inserted, err := store.InsertReadings(t.Context(), mine[:n])
			if err != nil {
				return sum, err
			}
			if got := inserted.New + inserted.Merged + inserted.Duplicates; got != n {
				t.Errorf("seed %d: %+v of %d readings", seed, inserted, n)
			}
			sum.Add(inserted)
			mine = mine[n:]
		}
		return sum, nil
	}
	sum := together(t, writers, insertAll)
	if n := len(want) + len(origins); sum.New < n || sum.New > n && writers == 1 { // what is just moved may be seen as new
		t.Errorf("seed %d: %+v, want %d new", seed, sum, n)
	}
	from := want[0].At
	page := find(t, store, iot.ReadingQuery{From: from, To: from.Add(time.Second), Limit: iot.MaxPage})
	got := slices.DeleteFunc(page.Readings, func(r iot.Reading) bool {
		known := origins[r.Origin]
		delete(origins, r.Origin)
		return known
	})
	if len(origins) > 0 {
		t.Errorf("seed %d: the origins %v are not stored", seed, origins)
	}
	slices.Reverse(want)
	wantReadings(t, got, want)
}

func keys(set map[any]bool) (all []any) {
	for member := range set {
		all = append(all, member)
	}
	return all
}
