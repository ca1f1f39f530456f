package embedded

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"strings"
)

// Beside a segment lies an index of kfake's, with an entry per batch: a version, a byte of checksum, and what
// is checksummed, the leader epoch (4 bytes), a timestamp (8) and flags. It is not synced: of one broker, whose
// leader epoch is always 0, it says nothing that is not in the segment.
const (
	indexEntryBytes = 15
	indexSummed     = 2 // from here on
)

func indexPath(segment string) string { return strings.TrimSuffix(segment, ".dat") + ".idx" }

// checkIndex removes the index of a segment where it is damaged, or half-written.
func (r *recovery) checkIndex(segment string) error {
	index, err := os.ReadFile(indexPath(segment))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for rest := index; len(rest) > 0; rest = rest[indexEntryBytes:] {
		if len(rest) >= indexEntryBytes {
			e := rest[:indexEntryBytes]
			sum := byte(crc32.Checksum(e[indexSummed:], castagnoli))
			if e[0] == kfakeVersion && e[1] == sum && bytes.Equal(e[indexSummed:indexSummed+4], make([]byte, 4)) {
				continue
			}
		}
		r.log.Warn("an index of the kafka log is damaged or half-written, and not used", "file", indexPath(segment))
		return removeIndex(segment)
	}
	return nil
}

func removeIndex(segment string) error {
	if err := os.Remove(indexPath(segment)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
