package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// repair cuts off what a kill left half-written at the end of kfake's two journals, the groups' offsets
// and the producers' ids. kfake itself skips such an end when it reads a journal, but goes on writing
// behind it, and then never reads what it wrote. The log of the records it does cut.
func repair(dir string, log *slog.Logger) error {
	for _, name := range []string{"groups.log", "pids.log"} {
		path := filepath.Join(dir, name)
		journal, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		whole := wholeEntries(journal)
		if whole == len(journal) {
			continue
		}
		log.Warn("cutting a half-written end off a journal", "file", path, "bytes", len(journal)-whole)
		if err := os.Truncate(path, int64(whole)); err != nil {
			return fmt.Errorf("cut %s: %w", path, err)
		}
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// wholeEntries returns how many bytes the whole entries at the start of a journal take. An entry is its
// length, a checksum, and as many bytes; integers are little-endian, of 32 bits.
func wholeEntries(journal []byte) int {
	const header = 8
	at := 0
	for rest := journal; len(rest) > header; rest = journal[at:] {
		length := int64(binary.LittleEndian.Uint32(rest))
		checksum := binary.LittleEndian.Uint32(rest[4:])
		if length < 2 || length > int64(len(rest)-header) {
			break
		}
		if crc32.Checksum(rest[header:header+length], castagnoli) != checksum {
			break
		}
		at += header + int(length)
	}
	return at
}
