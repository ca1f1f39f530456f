package contract

import (
	"fmt"
	"slices"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

// counters is what the services count on the way of a reading.
type counters struct{ received, stored, merged, duplicates, conflicts, rejected float64 }

// TestConservation runs before the tests that call t.Parallel go on, so that it has quiet moments.
func TestConservation(t *testing.T) {
	if len(sut.ops) == 0 {
		t.Log("the operations ports are not known")
		return
	}
	device := newDevice()
	before := quiet(t)
	const stored, merged, duplicates, conflicts, rejected = 4, 1, 3, 1, 4
	publish(t, topicOf(device),
		fmt.Sprintf(`[{"temperature": 1, "timestamp": %q}, {"temperature": 2, "timestamp": %q}, 5]`, at(1), at(2)),
		fmt.Sprintf(`{"temperature": 3, "timestamp": %q}`, at(3)),
		fmt.Sprintf(`{"temperature": 3, "timestamp": %q}`, at(3)),
		fmt.Sprintf(`{"temperature": 4, "timestamp": %q}`, at(3)),
		fmt.Sprintf(`{"humidity": 30, "timestamp": %q}`, at(3)),
		fmt.Sprintf(`[{"temperature": 1, "timestamp": %q}, {"temperature": 5, "timestamp": %q}, {}]`, at(1), at(5)),
		`{`)
	// The same two again by the other way in: a duplicate and a dead letter.
	path := devicePath(device) + "readings/"
	call(t, "POST", path, fmt.Sprintf(`[{"temperature": 1, "timestamp": %q}, 5]`, at(1)))
	produced(t, device, stored+merged+duplicates+conflicts)
	waitForDeadLetters(t, topicOf(device), conflicts+rejected-1)
	waitForDeadLetters(t, path, 1)
	after := quiet(t)
	t.Run("received = stored + merged + duplicates + dead letters", func(t *testing.T) {
		received := after.received - before.received
		kept := after.stored - before.stored
		joined := after.merged - before.merged
		dropped := after.duplicates - before.duplicates
		dead := after.conflicts - before.conflicts + after.rejected - before.rejected
		if received != kept+joined+dropped+dead {
			t.Errorf("%v received, %v stored + %v merged + %v duplicates + %v dead letters", received, kept, joined, dropped, dead)
		}
		const own = stored + merged + duplicates + conflicts + rejected
		if received < own || kept < stored || joined < merged || dropped < duplicates || dead < conflicts+rejected {
			t.Errorf("%v received of %d, %v stored of %d, %v merged of %d, %v duplicates of %d, %v dead letters of %d",
				received, own, kept, stored, joined, merged, dropped, duplicates, dead, conflicts+rejected)
		}
	})
}

// quiet waits until nothing is on its way, and returns the counters of that moment.
func quiet(t *testing.T) (now counters) {
	t.Helper()
	eventually(t, func() error {
		waitForConsumers(t)
		last := count(t)
		waitForConsumers(t)
		if now = count(t); now != last {
			return fmt.Errorf("the deployment has no quiet moment: %+v, then %+v", last, now)
		}
		return nil
	})
	return now
}

// count adds up the counters of all services.
func count(t *testing.T) (c counters) {
	t.Helper()
	for _, ops := range sut.ops {
		families := scrape(t, ops)
		c.received += sum(families["telltale_bridge_readings_received_total"], "")
		c.received += sum(families["telltale_http_readings_received_total"], "")
		c.rejected += sum(families["telltale_bridge_readings_total"], "dead_letter")
		c.rejected += sum(families["telltale_http_readings_total"], "dead_letter")
		c.stored += sum(families["telltale_writer_readings_total"], "stored")
		c.merged += sum(families["telltale_writer_readings_total"], "merged")
		c.duplicates += sum(families["telltale_writer_readings_total"], "duplicate")
		c.conflicts += sum(families["telltale_writer_readings_total"], "conflict")
	}
	return c
}

// sum adds up the counters of a family that have a label with that value, or all for "".
func sum(family *dto.MetricFamily, value string) (total float64) {
	for _, m := range family.GetMetric() {
		if value == "" || slices.ContainsFunc(m.GetLabel(), func(l *dto.LabelPair) bool { return l.GetValue() == value }) {
			total += m.GetCounter().GetValue()
		}
	}
	return total
}
