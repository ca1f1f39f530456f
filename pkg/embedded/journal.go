package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// kfake keeps two journals beside the partitions: of the groups' offsets, and of the producers' ids. It reads
// one up to the first entry that is not whole, and goes on writing behind its end.
var journals = []string{"groups.log", "pids.log"}

// An entry of a journal is its length, a checksum, and as many bytes, the first two of which are a version;
// integers are little-endian.
const (
	entryHeaderBytes = 8
	minEntryBytes    = 2
)

// entryAt returns how long the entry at the start of journal is, with its header. It is not whole when its
// checksum is wrong, and torn when the journal ends before it.
func entryAt(journal []byte) (bytes int, whole, torn bool) {
	if len(journal) < entryHeaderBytes+minEntryBytes {
		return 0, false, true
	}
	length := int64(binary.LittleEndian.Uint32(journal))
	if length < minEntryBytes {
		return 0, false, length == 0 // some file systems leave zeros behind a power cut
	}
	if length > int64(len(journal)-entryHeaderBytes) {
		return 0, false, true
	}
	bytes = entryHeaderBytes + int(length)
	return bytes, crc32.Checksum(journal[entryHeaderBytes:bytes], castagnoli) == binary.LittleEndian.Uint32(journal[4:]), false
}

// readJournal returns the entries that are whole, one behind the other, and how many bytes are neither that
// nor a torn end.
func readJournal(journal []byte) (whole []byte, damaged, torn int) {
	bad, badTorn := 0, false
	for len(journal) > 0 {
		n, ok, cut := entryAt(journal)
		if !ok {
			if bad == 0 {
				badTorn = cut
			}
			bad++
			journal = journal[1:]
			continue
		}
		damaged += bad
		bad = 0
		whole = append(whole, journal[:n]...)
		journal = journal[n:]
	}
	if badTorn {
		return whole, damaged, bad
	}
	return whole, damaged + bad, 0
}

// cutJournals cuts off what was half-written at the end of a journal.
func cutJournals(dir string, log *slog.Logger) error {
	for _, name := range journals {
		path := filepath.Join(dir, name)
		journal, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, _, torn := readJournal(journal)
		if torn == 0 {
			continue
		}
		log.Warn("cutting a half-written end off a journal", "file", path, "bytes", torn)
		if err := os.Truncate(path, int64(len(journal)-torn)); err != nil {
			return fmt.Errorf("cut: %w", err)
		}
	}
	return nil
}

// repairJournals also takes damaged entries out of the journals. What one of them said is forgotten: the
// group goes on from what it committed before, and has records again.
func (r *recovery) repairJournals() error {
	if err := cutJournals(r.dir, r.log); err != nil {
		return err
	}
	for _, name := range journals {
		path := filepath.Join(r.dir, name)
		journal, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		whole, damaged, _ := readJournal(journal)
		if damaged == 0 {
			continue
		}
		kept, err := r.keepCopy(path)
		if err != nil {
			return err
		}
		r.log.Error("a journal was damaged on the disk; groups go back to what they committed before",
			"file", path, "bytes", damaged, "kept", kept)
		if err := replaceFile(path, whole); err != nil {
			return err
		}
	}
	return nil
}

// commit is an entry of groups.log that says how far a group has read a partition.
type commit struct {
	Type   string `json:"type"`
	Group  string `json:"g"`
	Topic  string `json:"t"`
	Part   int32  `json:"p,omitempty"`
	Offset int64  `json:"o,omitempty"`
}

// limitCommits takes back to the end of the log what groups have committed behind it, where the end was lost:
// they would not see what is written there next.
func (r *recovery) limitCommits() error {
	path := filepath.Join(r.dir, "groups.log")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	latest := map[commit]int64{}
	for len(content) > 0 {
		n, _, _ := entryAt(content)
		var c commit
		if err := json.Unmarshal(content[entryHeaderBytes+minEntryBytes:n], &c); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		content = content[n:]
		offset := c.Offset
		c.Type, c.Offset = "commit", 0
		latest[c] = offset
	}
	var entries []byte
	for c, offset := range latest {
		end := int64(0)
		if t := r.tails[partition{c.Topic, c.Part}]; t != nil {
			end = t.next
		}
		if c.Topic == "" || offset <= end {
			continue
		}
		r.log.Error("a group has read records that are missing from the end of the kafka log; it goes on from the end",
			"group", c.Group, "topic", c.Topic, "partition", c.Part, "offset", offset, "end", end)
		c.Offset = end
		entry, err := json.Marshal(c)
		if err != nil {
			return err
		}
		entries = appendEntry(entries, entry)
	}
	if len(entries) == 0 {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(entries)
	return errors.Join(err, f.Sync(), f.Close())
}

func appendEntry(journal, data []byte) []byte {
	body := binary.LittleEndian.AppendUint16(nil, kfakeVersion)
	body = append(body, data...)
	journal = binary.LittleEndian.AppendUint32(journal, uint32(len(body)))
	journal = binary.LittleEndian.AppendUint32(journal, crc32.Checksum(body, castagnoli))
	return append(journal, body...)
}
