package embedded

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The version of kfake's files that is read and written here.
const kfakeVersion = 1

// topicList is kfake's topics.json.
type topicList struct {
	Version int     `json:"version"`
	Topics  []topic `json:"topics"`
}

type topic struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"` // 16 bytes, in base64
	Partitions int32             `json:"partitions"`
	Replicas   int               `json:"replicas"`
	Configs    map[string]string `json:"configs,omitempty"`
}

// repairState looks at the files that say what there is. kfake takes a missing meta.json for a new log, and
// begins one over the old.
func (r *recovery) repairState() error {
	for _, name := range []string{"meta.json", "topics.json", "broker_configs.json", "acls.json", "sasl.json", "quotas.json", "seq_windows.json"} {
		path := filepath.Join(r.dir, name)
		content, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && !json.Valid(content) {
			kept, err := r.keepCopy(path)
			if err != nil {
				return err
			}
			r.log.Error("a file of the kafka log is damaged, and made anew", "file", path, "kept", kept)
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	if len(r.tails) == 0 {
		return nil
	}
	if err := r.repairTopics(filepath.Join(r.dir, "topics.json")); err != nil {
		return err
	}
	meta := filepath.Join(r.dir, "meta.json")
	if _, err := os.Stat(meta); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.log.Error("a file of the kafka log is missing, and made anew", "file", meta)
	return replaceFile(meta, fmt.Appendf(nil, `{"version":%d,"cluster_id":"kfake"}`, kfakeVersion))
}

// repairTopics has each partition that there is named in the list of topics: kfake would not read it, and
// write into its files what comes when the topic is created again.
func (r *recovery) repairTopics(path string) error {
	list := topicList{Version: kfakeVersion}
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(content, &list); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	named := map[string]*topic{}
	for i := range list.Topics {
		named[list.Topics[i].Name] = &list.Topics[i]
	}
	changed := false
	for p := range r.tails {
		t := named[p.topic]
		if t == nil {
			t = &topic{Name: p.topic, ID: newTopicID(), Replicas: 1}
			named[p.topic] = t
		}
		if t.Partitions <= p.id {
			r.log.Error("the list of topics lacks a partition, and is completed", "file", path, "topic", p.topic, "partition", p.id)
			t.Partitions = p.id + 1
			changed = true
		}
	}
	if !changed {
		return nil
	}
	list.Topics = nil
	for _, name := range slices.Sorted(maps.Keys(named)) {
		list.Topics = append(list.Topics, *named[name])
	}
	content, err = json.Marshal(list)
	if err != nil {
		return err
	}
	return replaceFile(path, content)
}

func newTopicID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return base64.StdEncoding.EncodeToString(id[:])
}

// snapshot is kfake's summary of a partition. With one that agrees with the files, kfake reads a segment at a
// time when it starts, and otherwise all of them into memory.
type snapshot struct {
	Version          int               `json:"version"`
	HighWatermark    int64             `json:"high_watermark"`
	LastStableOffset int64             `json:"last_stable_offset"`
	LogStartOffset   int64             `json:"log_start_offset"`
	Epoch            int32             `json:"epoch"`
	MaxTimestamp     int64             `json:"max_timestamp"`
	CreatedAt        time.Time         `json:"created_at"`
	Segments         []snapshotSegment `json:"segments"`

	transactional bool
}

type snapshotSegment struct {
	BaseOffset int64 `json:"base_offset"`
	Size       int64 `json:"size"`
}

func newSnapshot() *snapshot { return &snapshot{Version: kfakeVersion, CreatedAt: time.Now()} }

// add counts a batch.
func (s *snapshot) add(b batch) {
	s.HighWatermark, s.LastStableOffset, s.Epoch = b.next, b.next, b.epoch
	s.MaxTimestamp = max(s.MaxTimestamp, b.maxTimestamp)
	s.transactional = s.transactional || b.transactional
}

// end ends the segment of base.
func (s *snapshot) end(base, size int64) {
	if len(s.Segments) == 0 {
		s.LogStartOffset = base
	}
	s.Segments = append(s.Segments, snapshotSegment{base, size})
}

// write writes the snapshot, or removes it where kfake has to find out itself what became of transactions.
func (s *snapshot) write(dir string) error {
	path := filepath.Join(dir, "snapshot.json")
	if s.transactional {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600) // written anew at each start, so it need not be synced
}
