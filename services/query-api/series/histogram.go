package series

import "math"

// Histogram counts values in ranges of one width: 1, 5, 10, 50, 100 and so on, the least of which maxRanges are enough.
type Histogram struct {
	counts      map[float64]int64 // by their quotient by the width, rounded down; nil: there are no values
	first, last float64           // of counts
	step        int               // from a width of 1 to this one
}

const (
	maxRanges   = 20      // as many bars as can be told apart
	maxQuotient = 1 << 50 // that can be counted up
)

// add adds a value n times. One that is no number is passed over.
func (h *Histogram) add(v float64, n int64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if h.counts == nil {
		h.counts = map[float64]int64{}
		h.first = math.Floor(v)
		h.last = h.first
	}
	at := math.Floor(v / h.width())
	for max(h.last, at)-min(h.first, at) >= maxRanges || math.Abs(at) > maxQuotient {
		h.widen()
		at = math.Floor(v / h.width())
	}
	h.counts[at] += n
	h.first, h.last = min(h.first, at), max(h.last, at)
}

func (h *Histogram) width() float64 { return math.Pow10(h.step/2) * []float64{1, 5}[h.step%2] }

// widen takes the next width.
func (h *Histogram) widen() {
	times := []float64{5, 2}[h.step%2]
	h.step++
	h.first, h.last = math.Floor(h.first/times), math.Floor(h.last/times)
	counts := make(map[float64]int64, len(h.counts))
	for at, n := range h.counts {
		counts[math.Floor(at/times)] += n
	}
	h.counts = counts
}

// Range is the number of values from From on and before To.
type Range struct {
	From, To float64
	Count    int64
}

// Ranges are from that of the least value to that of the greatest, without a gap.
func (h *Histogram) Ranges() []Range {
	if h.counts == nil {
		return nil
	}
	var all []Range
	for at := h.first; at <= h.last; at++ {
		from, to := at*h.width()+0, min((at+1)*h.width()+0, math.MaxFloat64) // + 0 makes -0 a 0
		all = append(all, Range{from, to, h.counts[at]})
	}
	return all
}
