package iot_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestMerge(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	stored := iot.Reading{
		Device: 7, At: at, Received: at.Add(time.Second),
		Metrics:    []iot.Metric{{Name: "a", Value: 1}, {Name: "c", Value: 3}},
		Attributes: []iot.Attribute{{Name: "site", Value: "roof"}},
	}
	with := func(change func(r *iot.Reading)) iot.Reading {
		r := iot.Reading{Device: 7, At: at, Received: at.Add(time.Second), Metrics: []iot.Metric{{Name: "a", Value: 1}}}
		change(&r)
		return r
	}
	for _, c := range []struct {
		name string
		o    iot.Reading
		want iot.Outcome
		then func(r *iot.Reading) // what stored becomes
	}{
		{"the same", stored, iot.OutcomeDuplicate, nil},
		{"a part", with(func(*iot.Reading) {}), iot.OutcomeDuplicate, nil},
		{"a part, received before", with(func(r *iot.Reading) { r.Received = at }), iot.OutcomeDuplicate, nil},
		{"a metric more", with(func(r *iot.Reading) { r.Metrics = append(r.Metrics, iot.Metric{Name: "b", Value: 2}) }), iot.OutcomeMerged,
			func(r *iot.Reading) {
				r.Metrics = []iot.Metric{{Name: "a", Value: 1}, {Name: "b", Value: 2}, {Name: "c", Value: 3}}
			}},
		{"an attribute more", with(func(r *iot.Reading) { r.Attributes = []iot.Attribute{{Name: "a", Value: "x"}} }), iot.OutcomeMerged,
			func(r *iot.Reading) {
				r.Attributes = []iot.Attribute{{Name: "a", Value: "x"}, {Name: "site", Value: "roof"}}
			}},
		{"the name of an attribute as a metric", with(func(r *iot.Reading) { r.Metrics = []iot.Metric{{Name: "site"}} }), iot.OutcomeMerged,
			func(r *iot.Reading) {
				r.Metrics = []iot.Metric{{Name: "a", Value: 1}, {Name: "c", Value: 3}, {Name: "site"}}
			}},
		{"more, and what is not its content",
			with(func(r *iot.Reading) {
				r.Metrics[0], r.Received, r.Stamped, r.Said = iot.Metric{Name: "d"}, at, iot.StampDevice, "noon"
			}), iot.OutcomeMerged,
			func(r *iot.Reading) {
				r.Metrics = []iot.Metric{{Name: "a", Value: 1}, {Name: "c", Value: 3}, {Name: "d"}}
				r.Received, r.Stamped, r.Said = at, iot.StampDevice, "noon"
			}},
		{"another value, and more", with(func(r *iot.Reading) { r.Metrics = []iot.Metric{{Name: "b"}, {Name: "c", Value: 4}} }), iot.OutcomeConflict, nil},
		{"another text", with(func(r *iot.Reading) { r.Attributes = []iot.Attribute{{Name: "site", Value: "cellar"}} }), iot.OutcomeConflict, nil},
		{"too large together", with(func(r *iot.Reading) {
			r.Attributes = []iot.Attribute{{Name: "x", Value: strings.Repeat("x", iot.MaxContentBytes-20)}}
		}), iot.OutcomeConflict, nil},
		{"too many together", with(func(r *iot.Reading) {
			r.Metrics = nil
			for i := range iot.MaxMergedMembers - 2 {
				r.Metrics = append(r.Metrics, iot.Metric{Name: fmt.Sprintf("m%05d", i)}) // ascending
			}
		}), iot.OutcomeConflict, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.o.Validate(); err != nil {
				t.Fatal(err)
			}
			want := stored
			if c.then != nil {
				c.then(&want)
			}
			got, outcome := stored.Merge(c.o)
			if diff := cmp.Diff(want, got); diff != "" || outcome != c.want {
				t.Errorf("outcome %d, want %d (-want +got):\n%s", outcome, c.want, diff)
			}
		})
	}
}

// TestMergeInAnyOrder: readings without a conflict come to the same, and the readings that are merged do not change.
func TestMergeInAnyOrder(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		parts := make([]iot.Reading, 6)
		for i := range parts {
			parts[i] = iot.Reading{Device: 7, At: at, Received: at}
			for n := range 8 {
				name := fmt.Sprint("m", n)
				if random.IntN(3) == 0 {
					parts[i].Metrics = append(parts[i].Metrics, iot.Metric{Name: name, Value: float64(n)})
				}
				if random.IntN(6) == 0 {
					parts[i].Attributes = append(parts[i].Attributes, iot.Attribute{Name: name, Value: name})
				}
			}
		}
		merge := func() iot.Reading {
			all := parts[0]
			for _, r := range parts[1:] {
				var outcome iot.Outcome
				if all, outcome = all.Merge(r); outcome == iot.OutcomeConflict {
					t.Fatalf("seed %d: a conflict", seed)
				}
			}
			return all
		}
		want := merge()
		for range 5 {
			random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
			if diff := cmp.Diff(want, merge(), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("seed %d (-first order +another):\n%s", seed, diff)
			}
		}
	}
}
