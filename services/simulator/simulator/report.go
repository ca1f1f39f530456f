package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"sync/atomic"
	"time"
)

// counters are what the connections count together.
type counters struct {
	published, acknowledged, resent          atomic.Int64
	reconnects, errors                       atomic.Int64
	junk, badClock, late, bursts, duplicates atomic.Int64
	latency                                  histogram
}

// Report is what a simulator has done.
type Report struct {
	Elapsed time.Duration
	Asked   float64 // readings per second of the whole fleet; 0: no pace

	Published    int64 // messages sent at least once
	Acknowledged int64 // messages that the broker sent the PUBACK of
	Resent       int64 // messages sent again after a reconnect
	Errors       int64 // failed attempts to connect, and connections lost
	Reconnects   int64

	Junk, BadClock, Late, Bursts, Duplicates int64 // faults; duplicates are messages beyond the asked rate

	latency [buckets]int64
}

// Unacknowledged is the number of messages in flight.
func (r *Report) Unacknowledged() int64 { return r.Published - r.Acknowledged }

// Rate is the number of messages acknowledged per second.
func (r *Report) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Acknowledged) / r.Elapsed.Seconds()
}

// Latency is the time within which the share q (0 to 1) of the PUBACKs came, counted from the moment when
// the message was due, exact to 3 %. Without any it is 0.
func (r *Report) Latency(q float64) time.Duration {
	var total int64
	for _, n := range r.latency {
		total += n
	}
	rank := max(int64(math.Ceil(q*float64(total))), 1)
	for i, n := range r.latency {
		if rank -= n; rank <= 0 && total > 0 {
			return bucketEnd(i)
		}
	}
	return 0
}

// Since is what was done after earlier, a report of the same simulator.
func (r *Report) Since(earlier *Report) *Report {
	d := *r
	d.Elapsed -= earlier.Elapsed
	d.Published -= earlier.Published
	d.Acknowledged -= earlier.Acknowledged
	d.Resent -= earlier.Resent
	d.Errors -= earlier.Errors
	d.Reconnects -= earlier.Reconnects
	d.Junk -= earlier.Junk
	d.BadClock -= earlier.BadClock
	d.Late -= earlier.Late
	d.Bursts -= earlier.Bursts
	d.Duplicates -= earlier.Duplicates
	for i := range d.latency {
		d.latency[i] -= earlier.latency[i]
	}
	return &d
}

// String is r for people, on several lines.
func (r *Report) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-16s"+format+"\n", append([]any{name}, args...)...)
	}
	line("elapsed", "%v", r.Elapsed.Round(time.Millisecond))
	line("asked", "%s", r.asked())
	line("acknowledged", "%d messages, %.1f/s", r.Acknowledged, r.Rate())
	line("unacknowledged", "%d", r.Unacknowledged())
	line("PUBACK latency", "p50 %v, p99 %v, max %v", r.Latency(0.5), r.Latency(0.99), r.Latency(1))
	line("connection", "%d errors, %d reconnects, %d messages resent", r.Errors, r.Reconnects, r.Resent)
	if r.Junk+r.BadClock+r.Late+r.Bursts+r.Duplicates > 0 {
		line("faults", "%d late, %d bursts, %d duplicates, %d with a bad clock, %d junk",
			r.Late, r.Bursts, r.Duplicates, r.BadClock, r.Junk)
	}
	return b.String()
}

func (r *Report) asked() string {
	if r.Asked == 0 {
		return "as fast as acknowledged"
	}
	return fmt.Sprintf("%.1f/s", r.Asked)
}

// MarshalJSON is r for programs: rates per second, times in seconds, latencies in milliseconds.
func (r *Report) MarshalJSON() ([]byte, error) {
	ms := func(q float64) float64 { return float64(r.Latency(q).Microseconds()) / 1e3 }
	return json.Marshal(struct {
		ElapsedSeconds float64 `json:"elapsed_seconds"`
		AskedRate      float64 `json:"asked_rate"`
		Rate           float64 `json:"acknowledged_rate"`
		Published      int64   `json:"published"`
		Acknowledged   int64   `json:"acknowledged"`
		Unacknowledged int64   `json:"unacknowledged"`
		Resent         int64   `json:"resent"`
		Errors         int64   `json:"errors"`
		Reconnects     int64   `json:"reconnects"`
		P50            float64 `json:"puback_p50_ms"`
		P99            float64 `json:"puback_p99_ms"`
		Max            float64 `json:"puback_max_ms"`
		Late           int64   `json:"late"`
		Bursts         int64   `json:"bursts"`
		Duplicates     int64   `json:"duplicates"`
		BadClock       int64   `json:"bad_clock"`
		Junk           int64   `json:"junk"`
	}{r.Elapsed.Seconds(), r.Asked, r.Rate(), r.Published, r.Acknowledged, r.Unacknowledged(), r.Resent, r.Errors,
		r.Reconnects, ms(0.5), ms(0.99), ms(1), r.Late, r.Bursts, r.Duplicates, r.BadClock, r.Junk})
}

// histogram counts durations in buckets of 3 % of their size, from a microsecond to more than a week.
type histogram [buckets]atomic.Int64

const (
	subBits = 5 // 32 buckets for each power of two
	buckets = (42 - subBits) << subBits
)

func (h *histogram) record(d time.Duration) { h[bucketOf(d)].Add(1) }

// bucketOf returns the bucket of d: of microseconds below 64 each its own, above as many per power of two
// as there are from 32 to 63.
func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	shift := max(bits.Len64(us)-subBits-1, 0)
	return min(shift<<subBits+int(us>>shift), buckets-1)
}

// bucketEnd returns the greatest duration in bucket i, to the microsecond.
func bucketEnd(i int) time.Duration {
	shift := max(i>>subBits-1, 0)
	us := uint64(i-shift<<subBits+1)<<shift - 1
	return time.Duration(us) * time.Microsecond
}
