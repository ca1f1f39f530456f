package metadatatest

import (
	"database/sql"
	"syscall"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Benchmark measures the calls that a busy system makes all the time. empty is as in Run.
func Benchmark(b *testing.B, empty func(testing.TB) Database) {
	db := &database{empty(b), b}
	s := db.prepared()
	ids := make([]iot.DeviceID, 1000)
	for i := range ids {
		ids[i] = iot.DeviceID(i + 1)
	}
	if _, err := s.EnsureDevices(b.Context(), seen(ids...), iot.Admission{}); err != nil {
		b.Fatal(err)
	}
	const columns = "SELECT id, name, user_id, location, created_at FROM devices "
	b.Run("Device", func(b *testing.B) {
		db.measure(b, columns+"WHERE id = 500", func() (int, error) {
			_, err := s.Device(b.Context(), 500)
			return 1, err
		})
	})
	b.Run("Devices of 100", func(b *testing.B) {
		db.measure(b, columns+"WHERE id > 500 ORDER BY id LIMIT 100", func() (int, error) {
			found, err := s.Devices(b.Context(), iot.DeviceQuery{After: 500, Limit: 100})
			return len(found), err
		})
	})
	b.Run("EnsureDevices of 1000 that exist", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if n, err := s.EnsureDevices(b.Context(), seen(ids...), iot.Admission{}); n.Created != 0 || err != nil {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("KeepContacts of 1000", func(b *testing.B) {
		contacts := make([]iot.Contact, len(ids))
		b.ReportAllocs()
		before := processorTime()
		for n := 0; b.Loop(); n++ {
			for i, id := range ids {
				contacts[i] = iot.Contact{Device: id, At: noon.Add(time.Duration(n) * time.Second)}
			}
			if err := s.KeepContacts(b.Context(), contacts); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(processorTime()-before)/1e3/float64(b.N), "cpu-µs/op")
	})
}

// measure reports how much processor time call takes, and how much that is for each run of query by a bare driver.
// Both find the same number of rows.
func (db *database) measure(b *testing.B, query string, call func() (rows int, err error)) {
	bare := func() (n int, err error) {
		rows, err := db.SQL.QueryContext(b.Context(), query)
		if err != nil {
			return 0, err
		}
		defer rows.Close()
		var columns [5]sql.RawBytes
		for rows.Next() {
			if err := rows.Scan(&columns[0], &columns[1], &columns[2], &columns[3], &columns[4]); err != nil {
				return 0, err
			}
			n++
		}
		return n, rows.Err()
	}
	want, err := bare()
	if err != nil {
		b.Fatal(err)
	}
	perCall := func(call func() (int, error)) float64 {
		before := processorTime()
		for range b.N {
			if n, err := call(); n != want || err != nil {
				b.Fatal(n, err)
			}
		}
		return float64(processorTime()-before) / float64(b.N)
	}
	floor := perCall(bare)
	b.ReportAllocs()
	b.ResetTimer()
	ours := perCall(call)
	b.ReportMetric(ours/1e3, "cpu-µs/op")
	b.ReportMetric(ours/floor, "×floor")
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
