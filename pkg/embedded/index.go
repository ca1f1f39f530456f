package embedded

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"strings"
)

// Beside a segment lies an index of kfake's, with an entry per batch: a version, a byte of checksum, and what
// is checksummed, the leader epoch (4 bytes), a timestamp (8) and flags. It is not synced: it says nothing that is
// not in the segment.
const (
	indexEntryBytes = 15
	indexSummed     = 2 // from here on
)

func indexPath(segment string) string { return strings.TrimSuffix(segment, ".dat") + ".idx" }

// checkIndex removes the index of a segment where it is damaged, or half-written. The checksum is a byte, and does
// not see every flipped bit; no epoch is higher than that of the segment's last batch.
func (r *recovery) checkIndex(segment string, highest int32) error {
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
			epoch := int32(binary.LittleEndian.Uint32(e[indexSummed:]))
			if e[0] == kfakeVersion && e[1] == sum && epoch >= 0 && epoch <= highest {
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
