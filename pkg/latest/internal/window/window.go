// Package window keeps the readings that the latest value of a device is made of: those that arrived within the time to
// live before the newest arrival, as far as one of their members is shown, or will be when others have gone. What it
// comes to depends on which readings were added, not on their order or on how often.
package window

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Bounds of a window that has several readings; of more than that the oldest are forgotten. A device that sends each of
// its values in a message of its own has as many readings as values. All of them are read and written for each message.
const (
	maxReadings = 256
	maxMembers  = 1000 // metrics and attributes
	maxContent  = 64 << 10
)

// Window is the readings of a device. The zero value has none.
type Window struct {
	Newest   time.Time     // arrival, of all that were added
	Readings []iot.Reading // the newest first; of several of one moment the one that arrived first
}

// Add adds r, and forgets what arrived ttl or longer before the newest arrival. It reports whether w has changed. The
// metrics and attributes of r are kept.
func (w *Window) Add(r iot.Reading, ttl time.Duration) (changed bool) {
	if r.Received.After(w.Newest) {
		w.Newest = r.Received
		changed = true
		w.Readings = slices.DeleteFunc(w.Readings, func(o iot.Reading) bool { return !w.counts(&o, ttl) })
	}
	if !w.counts(&r, ttl) {
		return changed
	}
	place := 0
	for place < len(w.Readings) && compare(&w.Readings[place], &r) <= 0 {
		place++
	}
	if covers(w.Readings[:place], &r) {
		return changed
	}
	if len(w.Readings) == 1 && place == 0 && covers([]iot.Reading{r}, &w.Readings[0]) { // most devices send the same members each time
		w.Readings[0] = r
		return true
	}
	w.Readings = slices.Insert(w.Readings, place, r)
	kept := place + 1
	for i := kept; i < len(w.Readings); i++ {
		if o := &w.Readings[i]; !shareMember(&r, o) || !covers(w.Readings[:kept], o) {
			w.Readings[kept] = *o
			kept++
		}
	}
	w.truncate(kept)
	for len(w.Readings) > 1 && w.tooLarge() {
		w.truncate(len(w.Readings) - 1)
	}
	return true
}

// counts reports whether r arrived within the time to live.
func (w *Window) counts(r *iot.Reading, ttl time.Duration) bool {
	return r.Received.After(w.Newest.Add(-ttl))
}

func (w *Window) truncate(n int) {
	clear(w.Readings[n:])
	w.Readings = w.Readings[:n]
}

func (w *Window) tooLarge() bool {
	members, content := 0, 0
	for i := range w.Readings {
		members += len(w.Readings[i].Metrics) + len(w.Readings[i].Attributes)
		content += w.Readings[i].ContentBytes()
	}
	return len(w.Readings) > maxReadings || members > maxMembers || content > maxContent
}

// compare orders the readings of a window.
func compare(a, b *iot.Reading) int {
	return cmp.Or(b.At.Compare(a.At), a.Received.Compare(b.Received))
}

// covers reports whether none of r's members is shown, for as long as r counts: each is also in one of front, the readings
// in front of r, that counts for as long.
func covers(front []iot.Reading, r *iot.Reading) bool {
	hidden := func(has func(o *iot.Reading) bool) bool {
		for i := range front {
			if !front[i].Received.Before(r.Received) && has(&front[i]) {
				return true
			}
		}
		return false
	}
	for i := range r.Metrics {
		if !hidden(func(o *iot.Reading) bool { return hasMetric(o, r.Metrics[i].Name) }) {
			return false
		}
	}
	for i := range r.Attributes {
		if !hidden(func(o *iot.Reading) bool { return hasAttribute(o, r.Attributes[i].Name) }) {
			return false
		}
	}
	return true
}

func shareMember(a, b *iot.Reading) bool {
	return slices.ContainsFunc(a.Metrics, func(m iot.Metric) bool { return hasMetric(b, m.Name) }) ||
		slices.ContainsFunc(a.Attributes, func(m iot.Attribute) bool { return hasAttribute(b, m.Name) })
}

func findMetric(metrics []iot.Metric, name string) (place int, there bool) {
	return slices.BinarySearchFunc(metrics, name, func(m iot.Metric, name string) int { return strings.Compare(m.Name, name) })
}

func findAttribute(attributes []iot.Attribute, name string) (place int, there bool) {
	return slices.BinarySearchFunc(attributes, name, func(a iot.Attribute, name string) int { return strings.Compare(a.Name, name) })
}

func hasMetric(r *iot.Reading, name string) bool {
	_, there := findMetric(r.Metrics, name)
	return there
}

func hasAttribute(r *iot.Reading, name string) bool {
	_, there := findAttribute(r.Attributes, name)
	return there
}

// Latest returns the latest value: the newest reading, with what older ones have beside it. There must be one.
func (w *Window) Latest() iot.Reading {
	latest := w.Readings[0]
	latest.Received, latest.Origin, latest.Again = time.Time{}, 0, false
	if len(w.Readings) == 1 {
		return latest
	}
	latest.Metrics, latest.Attributes = slices.Clone(latest.Metrics), slices.Clone(latest.Attributes)
	for i := range w.Readings[1:] {
		r := &w.Readings[1+i]
		for _, m := range r.Metrics {
			if place, there := findMetric(latest.Metrics, m.Name); !there {
				latest.Metrics = slices.Insert(latest.Metrics, place, m)
				noteTime(&latest, m.Name, r.At)
			}
		}
		for _, a := range r.Attributes {
			if place, there := findAttribute(latest.Attributes, a.Name); !there {
				latest.Attributes = slices.Insert(latest.Attributes, place, a)
				noteTime(&latest, a.Name, r.At)
			}
		}
	}
	return latest
}

// noteTime says in latest's Times that a member is from at. A metric and an attribute may have one name: the older time is
// shown, which is noted last.
func noteTime(latest *iot.Reading, name string, at time.Time) {
	if at.Equal(latest.At) {
		return
	}
	place, there := slices.BinarySearchFunc(latest.Times, name, func(t iot.MemberTime, name string) int { return strings.Compare(t.Name, name) })
	if there {
		latest.Times[place].At = at
	} else {
		latest.Times = slices.Insert(latest.Times, place, iot.MemberTime{Name: name, At: at})
	}
}
