package historycheck

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	maxGrowth = 2.0                   // of what a chart costs, while ten times as many readings are stored
	maxStats  = 50 * time.Millisecond // of CPU
	maxSealed = 8.0                   // bytes a reading
)

// TestGrowth: ten times as many readings make a chart of the same hours, and the statistics, cost no more.
func TestGrowth(t *testing.T) {
	onlyLong(t)
	l := load{first: 1, devices: 20, every: time.Second, from: time.Now().Add(-300 * 24 * time.Hour).Truncate(time.Hour)}
	all := fromEnv(t, "HISTORY_STORED", 3_000_000)
	l.ticks = all / 10 / l.devices
	s := start(t, "SEAL_AFTER=10s")
	charts := func() time.Duration {
		return s.cpuOf(t, 100, func() {
			if c := s.chart(t, 1, l.from, l.to(), "points=1000"); sum(c.Count) != int64(l.ticks) {
				t.Fatalf("a chart of %d readings, want %d", sum(c.Count), l.ticks)
			}
		})
	}
	s.publish(t, l.len(), l)
	s.awaitSealed(t)
	few := charts()
	more := l
	more.from, more.ticks = l.to(), all/l.devices-l.ticks
	s.publish(t, all, more)
	s.awaitSealed(t)
	many := charts()
	stats := s.cpuOf(t, 20, func() { s.get(t, "/api/readings/stats/", nil) })
	bytes := float64(folderSize(t, filepath.Join(s.data, "readings"))) / float64(all)
	t.Logf("a chart of %d readings: %v of CPU among %d, %v among %d; statistics: %v", l.ticks, few, l.len(), many, all, stats)
	t.Logf("sealed: %.2f B a reading; all of the data folder, with what Kafka keeps for a while: %.2f B", bytes, float64(folderSize(t, s.data))/float64(all))
	if ratio := float64(many) / float64(max(few, time.Millisecond)); ratio > maxGrowth {
		t.Errorf("a chart costs %.1f times as much", ratio)
	}
	if stats > maxStats {
		t.Errorf("the statistics cost %v", stats)
	}
	if bytes > maxSealed {
		t.Errorf("a reading takes %.2f bytes", bytes)
	}
}

// cpuOf is the CPU time that the process spends on each of so many calls.
func (s *system) cpuOf(t *testing.T, times int, call func()) time.Duration {
	t.Helper()
	before, _, err := s.Usage()
	if err != nil {
		t.Fatal(err)
	}
	for range times {
		call()
	}
	after, _, err := s.Usage()
	if err != nil {
		t.Fatal(err)
	}
	return (after - before) / time.Duration(times)
}

// folderSize is what the files in a folder take, without those of SQLite that go when it ends.
func folderSize(t *testing.T, folder string) (n int64) {
	t.Helper()
	if err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-shm") {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			n += info.Size()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}
