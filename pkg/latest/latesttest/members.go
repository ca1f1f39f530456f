package latesttest

import (
	"slices"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
)

// of returns a reading of device 1, seconds after base, that was received just now.
func of(seconds int, metrics ...iot.Metric) iot.Reading {
	r := reading(1, base.Add(time.Duration(seconds)*time.Second), 0)
	r.Metrics = metrics
	return r
}

// times says that names are of seconds after base.
func times(seconds int, names ...string) (all []iot.MemberTime) {
	for _, name := range names {
		all = append(all, iot.MemberTime{Name: name, At: base.Add(time.Duration(seconds) * time.Second)})
	}
	return all
}

var (
	wet  = iot.Metric{Name: iot.Humidity, Value: 40}
	warm = iot.Metric{Name: iot.Temperature, Value: 20}
)

var memberTests = []test{
	{"each metric and attribute is the newest of its name, and those older than the timestamp have their times", func(t *testing.T, c latest.Cache) {
		hot := iot.Metric{Name: iot.Temperature, Value: 30}
		first, second, third := of(0, wet, warm), of(1, hot), of(2, iot.Metric{Name: "voltage", Value: 3.3})
		first.Attributes = []iot.Attribute{{Name: "site", Value: "roof"}}
		second.Attributes = []iot.Attribute{{Name: "firmware", Value: "1.2"}}
		for _, r := range []iot.Reading{second, first, third} {
			put(t, c, long, r)
		}
		want := third
		want.Metrics = []iot.Metric{wet, hot, third.Metrics[0]}
		want.Attributes = slices.Concat(second.Attributes, first.Attributes)
		want.Times = slices.Concat(times(1, "firmware"), times(0, iot.Humidity, "site"), times(1, iot.Temperature))
		check(t, c, want)
		checkAll(t, c, want)
	}},
	{"readings of one moment are one, and of two values the one that arrived first stays", func(t *testing.T, c latest.Cache) {
		put(t, c, long, of(0, warm))
		put(t, c, long, of(0, wet, iot.Metric{Name: iot.Temperature, Value: 21}))
		check(t, c, of(0, wet, warm))
	}},
	{"a member is shown for as long as the value would be", func(t *testing.T, c latest.Cache) {
		const ttl = 2 * time.Second
		first := of(0, wet)
		put(t, c, ttl, first)
		time.Sleep(ttl / 2)
		second := of(1, warm)
		put(t, c, ttl, second)
		want := of(1, wet, warm)
		want.Times = times(0, iot.Humidity)
		check(t, c, want)
		time.Sleep(time.Until(first.Received.Add(ttl + ttl/8)))
		check(t, c, want) // nothing has come since
		third := of(2, iot.Metric{Name: "voltage", Value: 3.3})
		put(t, c, ttl, third)
		want = third
		want.Metrics = []iot.Metric{warm, third.Metrics[0]}
		want.Times = times(1, iot.Temperature)
		check(t, c, want)
	}},
	{"a value is what its definition says, in any order, with repetitions, by several updaters, and in a cache that is filled again meanwhile", func(t *testing.T, c latest.Cache) {
		for seed := range uint64(5) {
			offerFleet(t, c, newFleet(seed))
		}
	}},
}
