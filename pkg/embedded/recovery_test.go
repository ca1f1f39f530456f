package embedded

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	logTopic   = "readings"
	logBatches = 14
	logSegment = 500 // bytes, of some 75 a batch
)

var logPartition = partition{logTopic, 0}

// writtenLog returns the directory of a broker that was stopped: with batches of a record each, in segments, of which
// group g has committed every one, and the batches.
func writtenLog(t *testing.T) (dir string, written map[int64]batch) {
	t.Helper()
	dir = t.TempDir()
	k := open(t, KafkaConfig{Dir: dir})
	if err := k.cluster.CreateTopic(logTopic, 1, map[string]string{"segment.bytes": "500"}); err != nil {
		t.Fatal(err)
	}
	client := inside(t, k)
	for n := range int32(logBatches) {
		if err := produce(t, client, logTopic, -1, n); err != nil {
			t.Fatal(err)
		}
		commitOffset(t, client, int64(n)+1)
	}
	shut(t, k)
	written = batchesIn(t, dir)
	if bases, err := segments(logPartition.dir(dir)); err != nil || len(bases) < 2 || len(written) != logBatches {
		t.Fatalf("%d batches in segments %v, %v", len(written), bases, err)
	}
	return dir, written
}

// commitOffset commits for group g.
func commitOffset(t testing.TB, client *kgo.Client, offset int64) {
	t.Helper()
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.Generation = "g", -1
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: logTopic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: offset}}}}
	response, err := r.RequestWith(t.Context(), client)
	if err != nil || response.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatal(response, err)
	}
}

// batchesIn reads the partition of dir, and fails where it is not whole.
func batchesIn(t testing.TB, dir string) map[int64]batch {
	t.Helper()
	found := map[int64]batch{}
	bases, err := segments(logPartition.dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	next := int64(0)
	for _, base := range bases {
		content, err := os.ReadFile(segmentPath(logPartition.dir(dir), base))
		if err != nil {
			t.Fatal(err)
		}
		if base < next {
			t.Errorf("segment %d begins before offset %d", base, next)
		}
		next = base
		reader := segmentReader{file: bytes.NewReader(content), size: int64(len(content))}
		for pos := int64(0); pos < reader.size; {
			b, err := reader.batchAt(pos, next)
			if err != nil {
				t.Fatalf("segment %d at byte %d: %v", base, pos, err)
			}
			pos, next, found[b.base] = pos+b.bytes, b.next, b
		}
	}
	return found
}

// committedIn returns what group g has committed.
func committedIn(t testing.TB, dir string) (offset int64) {
	t.Helper()
	journal, err := os.ReadFile(filepath.Join(dir, "groups.log"))
	if err != nil {
		t.Fatal(err)
	}
	whole, damaged, torn := readJournal(journal)
	if damaged+torn > 0 {
		t.Fatalf("%d bytes of the journal are damaged, %d torn", damaged, torn)
	}
	for len(whole) > 0 {
		n, _, _ := entryAt(whole)
		var c commit
		if err := json.Unmarshal(whole[entryHeaderBytes+minEntryBytes:n], &c); err != nil {
			t.Fatal(err)
		}
		if c.Type == "commit" {
			offset = c.Offset
		}
		whole = whole[n:]
	}
	return offset
}

func copyOf(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// recovered runs a recovery on dir, and returns what it said.
func recovered(t testing.TB, dir string) string {
	t.Helper()
	var said bytes.Buffer
	r := recovery{dir: dir, log: slog.New(slog.NewTextHandler(&said, nil))}
	if err := r.run(); err != nil {
		t.Fatal(err)
	}
	for _, tail := range r.tails {
		tail.close()
	}
	return said.String()
}

func filesOf(t testing.TB, dir, pattern string) (names []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files like %s: %v", pattern, err)
	}
	for _, path := range paths {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// TestAFlippedBit flips a bit in every third byte of each file in turn.
func TestAFlippedBit(t *testing.T) {
	t.Parallel()
	dir, written := writtenLog(t)
	each := func(t *testing.T, pattern string, check func(t *testing.T, name string, byte int, dir, said string)) {
		for _, name := range filesOf(t, dir, pattern) {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			for i := rand.IntN(3); i < len(content); i += 3 {
				damaged := copyOf(t, dir)
				flipped := bytes.Clone(content)
				flipped[i] ^= 1 << rand.IntN(8)
				if err := os.WriteFile(filepath.Join(damaged, name), flipped, 0o600); err != nil {
					t.Fatal(err)
				}
				said := recovered(t, damaged)
				check(t, name, i, damaged, said)
				if t.Failed() {
					t.Fatalf("byte %d of %s: %s", i, name, said)
				}
				if err := os.RemoveAll(damaged); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Run("in a segment", func(t *testing.T) {
		each(t, "partitions/readings-0/*.dat", func(t *testing.T, name string, at int, dir, said string) {
			found := batchesIn(t, dir)
			epoch := false // it is in no checksum, and harmless
			for base, b := range found {
				epoch = epoch || b.epoch != written[base].epoch
				if b.epoch = written[base].epoch; written[base] != b {
					t.Errorf("batch %d is %+v, and was %+v", base, b, written[base])
				}
			}
			if len(found) < logBatches-1 {
				t.Errorf("%d batches are left of %d", len(found), logBatches)
			}
			if !strings.Contains(said, name) && !epoch {
				t.Error("the file is not named")
			}
			if end := int64(len(found)); found[logBatches-1] == (batch{}) && committedIn(t, dir) != end {
				t.Errorf("offset %d is committed, and the log ends at %d", committedIn(t, dir), end)
			}
		})
	})
	t.Run("in an index", func(t *testing.T) {
		each(t, "partitions/readings-0/*.idx", func(t *testing.T, name string, at int, dir, said string) {
			if found := batchesIn(t, dir); len(found) != logBatches {
				t.Errorf("%d batches are left of %d", len(found), logBatches)
			}
			timestamp := at%indexEntryBytes >= 6 && at%indexEntryBytes < 14 // it is not used
			if !strings.Contains(said, name) && !timestamp {
				t.Error("the file is not named")
			}
		})
	})
	t.Run("in the journal of offsets", func(t *testing.T) {
		each(t, "groups.log", func(t *testing.T, name string, at int, dir, said string) {
			if offset := committedIn(t, dir); offset > logBatches {
				t.Errorf("offset %d is committed", offset)
			}
			if !strings.Contains(said, name) {
				t.Error("the file is not named")
			}
		})
	})
	t.Run("in the list of topics", func(t *testing.T) {
		each(t, "topics.json", func(t *testing.T, _ string, _ int, dir, _ string) {
			content, err := os.ReadFile(filepath.Join(dir, "topics.json"))
			if err != nil {
				t.Fatal(err)
			}
			var list topicList
			if err := json.Unmarshal(content, &list); err != nil {
				t.Fatal(err)
			}
			for _, topic := range list.Topics {
				if topic.Name == logTopic && topic.Partitions >= 1 {
					return
				}
			}
			t.Errorf("topics %+v lack %s", list.Topics, logTopic)
		})
	})
}

// TestAHalfWrittenEnd cuts a file anywhere, or leaves zeros behind, as a power cut does.
func TestAHalfWrittenEnd(t *testing.T) {
	t.Parallel()
	dir, written := writtenLog(t)
	bases, err := segments(logPartition.dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	last := bases[len(bases)-1]
	path, err := filepath.Rel(dir, segmentPath(logPartition.dir(dir), last))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, "groups.log"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for end := 0; end < len(content); end += 7 {
			for _, zeros := range []int{0, 300} {
				torn := copyOf(t, dir)
				if err := os.WriteFile(filepath.Join(torn, name), append(bytes.Clone(content[:end]), make([]byte, zeros)...), 0o600); err != nil {
					t.Fatal(err)
				}
				said := recovered(t, torn)
				found := batchesIn(t, torn)
				for base, b := range written {
					before := base < last || name != path || written[last].bytes*(base-last+1) <= int64(end)
					if before && found[base] != b {
						t.Errorf("batch %d is gone", base)
					}
				}
				if offset, end := committedIn(t, torn), int64(len(found)); offset > end {
					t.Errorf("offset %d is committed, and the log ends at %d", offset, end)
				}
				if zeros == 0 && strings.Contains(said, ".damaged") {
					t.Error("a half-written end counts as damage")
				}
				if t.Failed() {
					t.Fatalf("cut at byte %d of %s, then %d zeros: %s", end, name, zeros, said)
				}
			}
		}
	}
}

// TestALeaderWasElected starts from a log whose leader epoch has grown in the middle of a segment.
func TestALeaderWasElected(t *testing.T) {
	dir, written := writtenLog(t)
	const elected = int64(2) // the first batch of the new epoch
	for _, name := range filesOf(t, dir, "partitions/readings-0/*.dat") {
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		index, err := os.ReadFile(indexPath(path))
		if err != nil {
			t.Fatal(err)
		}
		for pos, entry := content, index; len(pos) > 0; entry = entry[indexEntryBytes:] {
			b, err := parseHeader(pos)
			if err != nil {
				t.Fatal(err)
			}
			if b.base >= elected {
				binary.BigEndian.PutUint32(pos[12:], 3)
				binary.LittleEndian.PutUint32(entry[indexSummed:], 3)
				entry[1] = byte(crc32.Checksum(entry[indexSummed:indexEntryBytes], castagnoli))
			}
			pos = pos[b.bytes:]
		}
		if err := errors.Join(os.WriteFile(path, content, 0o600), os.WriteFile(indexPath(path), index, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if said := recovered(t, copyOf(t, dir)); said != "" {
		t.Errorf("a recovery says %s", said)
	}
	k := open(t, KafkaConfig{Dir: dir})
	if said := k.State(); said != "no damage found" {
		t.Error(said)
	}
	c := newClient(t, k.Addr(), 1)
	c.consume(t, "new", len(written))
	c.send(t, 10, 10, time.Now())
	c.consume(t, "new", 10)
	shut(t, k)
	for base, b := range batchesIn(t, dir) {
		if base >= elected && b.epoch != 3 {
			t.Errorf("batch %d has epoch %d", base, b.epoch)
		}
	}
}
