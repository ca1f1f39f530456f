package sqlite

import (
	"cmp"
	"slices"
	"time"
)

// part is a file that owns the readings of a range of time: a month's, or the one from before there were months.
type part struct {
	path string
	statements
	start, end int64 // of a month, ms
	old        bool
	daysOnly   bool // of a month whose readings are not kept any more
	abandoned  bool // what files guards
}

// span is a range of time, from <= at < until in ms, that a part owns.
type span struct {
	*part
	from, until int64
}

// layout says which part owns what: its spans ascend and have nothing in common. It is never changed, but replaced.
type layout []span

// owner returns the span with at.
func (l layout) owner(at int64) (span, bool) {
	i, found := slices.BinarySearchFunc(l, at, func(s span, at int64) int { return cmp.Compare(s.from, at) })
	if !found {
		i--
	}
	if i < 0 || at >= l[i].until {
		return span{}, false
	}
	return l[i], true
}

// first returns the first, or the last, span with times in from <= at < until, cut to them.
func (l layout) first(from, until int64, last bool) (span, bool) {
	cut := func(s span) (span, bool) {
		s.from, s.until = max(s.from, from), min(s.until, until)
		return s, s.from < s.until
	}
	if last {
		for _, s := range slices.Backward(l) {
			if s, ok := cut(s); ok {
				return s, true
			}
		}
		return span{}, false
	}
	for _, s := range l {
		if s, ok := cut(s); ok {
			return s, true
		}
	}
	return span{}, false
}

// layoutOf returns the layout of months, and of old, where there is one: from those of their times that it owns, the
// months are cut away. What is before the horizon nobody owns.
func layoutOf(months []*part, old *span, horizon int64) (l layout) {
	add := func(p *part, from, until int64) {
		if from = max(from, horizon); from < until {
			l = append(l, span{p, from, until})
		}
	}
	for _, m := range months {
		if old == nil || m.end <= old.from || old.until <= m.start {
			add(m, m.start, m.end)
			continue
		}
		add(m, m.start, old.from)
		add(m, old.until, m.end)
	}
	if old != nil {
		add(old.part, old.from, old.until)
	}
	slices.SortFunc(l, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	return l
}

// rollupLayout is l with what months have of rollups from before the horizon.
func rollupLayout(months []*part, horizon int64, l layout) layout {
	var all layout
	for _, m := range months {
		if m.start < horizon {
			all = append(all, span{m, m.start, min(m.end, horizon)})
		}
	}
	return append(all, l...)
}

// monthOf returns the bounds of at's month of UTC.
func monthOf(at int64) (start, end int64) {
	year, month, _ := time.UnixMilli(at).UTC().Date()
	first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	return first.UnixMilli(), first.AddDate(0, 1, 0).UnixMilli()
}
