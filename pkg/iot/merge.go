package iot

import (
	"cmp"
	"slices"
	"strings"
)

// Outcome is what becomes of a reading that is to be stored.
type Outcome uint8

const (
	OutcomeNew       Outcome = iota // there was none of its device and moment
	OutcomeMerged                   // the one that was there has its members too now
	OutcomeDuplicate                // all of its members were there
	OutcomeConflict                 // nothing of it is stored
)

// Count adds the reading at index of the batch.
func (i *Inserted) Count(outcome Outcome, index int) {
	switch outcome {
	case OutcomeNew:
		i.New++
	case OutcomeMerged:
		i.Merged++
	case OutcomeDuplicate:
		i.Duplicates++
	case OutcomeConflict:
		i.Conflicts = append(i.Conflicts, index)
	}
}

// Add adds what became of other readings of the batch.
func (i *Inserted) Add(o Inserted) {
	i.New += o.New
	i.Merged += o.Merged
	i.Duplicates += o.Duplicates
	i.Conflicts = append(i.Conflicts, o.Conflicts...)
	i.TooOld = append(i.TooOld, o.TooOld...)
}

// MaxMergedMembers bounds the metrics and attributes of a reading that others were merged into. With each of these all
// of them are written anew.
const MaxMergedMembers = 10_000

// Merge returns r, which is stored, with what o has beside it, and what becomes of o. Both are of one device and moment
// and have no origin. o is a conflict, and r stays as it is, where a metric or an attribute of both has two values, or
// where together they are more than a reading may have.
func (r Reading) Merge(o Reading) (Reading, Outcome) {
	metrics, agree := without(o.Metrics, r.Metrics, compareMetrics)
	attributes, agreeToo := without(o.Attributes, r.Attributes, compareAttributes)
	if !agree || !agreeToo {
		return r, OutcomeConflict
	}
	added := len(metrics) + len(attributes)
	if added == 0 {
		return r, OutcomeDuplicate
	}
	size := r.ContentBytes() + Reading{Metrics: metrics, Attributes: attributes}.ContentBytes()
	if len(r.Metrics)+len(r.Attributes)+added > MaxMergedMembers || size > MaxContentBytes {
		return r, OutcomeConflict
	}
	r.Metrics = union(r.Metrics, metrics, compareMetrics)
	r.Attributes = union(r.Attributes, attributes, compareAttributes)
	r.Key = cmp.Or(r.Key, o.Key)
	r.Said = cmp.Or(r.Said, o.Said)
	if o.Received.Before(r.Received) || r.Received.IsZero() { // zero: not known
		r.Received = o.Received
	}
	if o.Stamped == StampDevice {
		r.Stamped = StampDevice
	}
	return r, OutcomeMerged
}

func compareMetrics(a, b Metric) int       { return strings.Compare(a.Name, b.Name) }
func compareAttributes(a, b Attribute) int { return strings.Compare(a.Name, b.Name) }

// without returns those of members that are not there, and whether the others agree with what is. there is sorted.
func without[T comparable](members, there []T, compare func(a, b T) int) (rest []T, agree bool) {
	for _, m := range members {
		i, found := slices.BinarySearchFunc(there, m, compare)
		if !found {
			rest = append(rest, m)
		} else if there[i] != m {
			return nil, false
		}
	}
	return rest, true
}

// union returns a new list, sorted, of what is in a, which is sorted, and in b.
func union[T any](a, b []T, compare func(a, b T) int) []T {
	all := slices.Grow(slices.Clone(a), len(b))
	for _, m := range b {
		i, _ := slices.BinarySearchFunc(all, m, compare)
		all = slices.Insert(all, i, m)
	}
	return all
}
