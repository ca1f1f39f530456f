package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDamage(t *testing.T) {
	// flip flips a bit of the record in a batch that is neither the first nor the last of its segment.
	flip := func(t *testing.T, dir string) (file string) {
		t.Helper()
		file = segmentPath(logPartition.dir(dir), 0)
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		at := int64(3*69 - 1)
		b := make([]byte, 1)
		if _, err := f.ReadAt(b, at); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 1
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		return file
	}
	t.Run("found at the start is reported, and the rest is served", func(t *testing.T) {
		dir, _ := writtenLog(t)
		file := flip(t, dir)
		k := open(t, KafkaConfig{Dir: dir})
		if said := k.State(); !strings.Contains(said, file+".damaged") {
			t.Errorf("State says %q", said)
		}
		if err := k.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if p := k.cluster.PartitionInfo(logTopic, 0); p.HighWatermark != logBatches || p.LogStartOffset != 0 {
			t.Errorf("offsets %d to %d", p.LogStartOffset, p.HighWatermark)
		}
		c := newClient(t, k.Addr(), 1)
		c.consume(t, "new", logBatches-1)
		c.send(t, 10, 10, time.Now())
		c.consume(t, "new", 10)
		shut(t, k)
		k = open(t, KafkaConfig{Dir: dir})
		if n := k.cluster.PartitionInfo(logTopic, 0).HighWatermark; n != logBatches+10 {
			t.Errorf("the log ends at %d after another start", n)
		}
	})
	t.Run("found while running is reported, and not served", func(t *testing.T) {
		dir, _ := writtenLog(t)
		k := open(t, KafkaConfig{Dir: dir})
		file := flip(t, dir)
		client := inside(t, k)
		fetch := func(offset int64) kmsg.FetchResponseTopicPartition {
			response, err := fetchRequest(logTopic, offset).RequestWith(t.Context(), client)
			if err != nil {
				t.Fatal(err)
			}
			return response.Topics[0].Partitions[0]
		}
		if p := fetch(0); p.ErrorCode != 0 || len(p.RecordBatches) != 2*69 {
			t.Errorf("of the first batches come %d bytes, error %d", len(p.RecordBatches), p.ErrorCode)
		}
		if p := fetch(2); p.ErrorCode == 0 || len(p.RecordBatches) > 0 {
			t.Errorf("of the damaged batch come %d bytes, error %d", len(p.RecordBatches), p.ErrorCode)
		}
		if p := fetch(3); p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
			t.Errorf("of the batches behind come %d bytes, error %d", len(p.RecordBatches), p.ErrorCode)
		}
		if err := k.Check(t.Context()); err == nil || !strings.Contains(err.Error(), file+" is damaged at offset 2") {
			t.Errorf("Check says %v", err)
		}
	})
	t.Run("of what says which topics there are costs no record", func(t *testing.T) {
		for _, name := range []string{"meta.json", "topics.json", "seq_windows.json"} {
			for what, damage := range map[string]func(path string) error{
				"is gone":         os.Remove,
				"is cut":          func(path string) error { return os.Truncate(path, 10) },
				"is another file": func(path string) error { return os.WriteFile(path, []byte("[]"), 0o600) },
			} {
				if what == "is another file" && name != "topics.json" {
					continue
				}
				t.Run(name+" "+what, func(t *testing.T) {
					dir, _ := writtenLog(t)
					if err := damage(filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
					k, err := StartKafka(KafkaConfig{Dir: dir, Addr: "127.0.0.1:0", Log: testLog(t)})
					if what == "is another file" {
						if err == nil || !strings.Contains(err.Error(), name) {
							t.Errorf("it starts with %v", err)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					defer shut(t, k)
					if n := records(k, logTopic); n != logBatches {
						t.Errorf("%d records, want %d", n, logBatches)
					}
				})
			}
		}
	})
}
