package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A partition is a directory, and in it a file per segment, which is named after the offset of its first
// record and holds record batches as Kafka defines them, one behind the other. Offsets have no gaps within
// a segment.
const (
	batchHeaderBytes = 61
	batchLengthStart = 12       // a batch's length counts what is behind that field
	maxBatchBytes    = 64 << 20 // more than any topic takes
	crcStart         = 21       // the checksum covers everything from here on
)

var (
	errTorn    = errors.New("it ends in the middle of a batch")
	errDamaged = errors.New("it does not hold what was written to it")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is what the header of a record batch says.
type batch struct {
	base          int64 // offset of its first record
	next          int64 // offset behind its last
	epoch         int32 // of the partition's leader, which is in no checksum
	crc           uint32
	bytes         int64
	transactional bool
	maxTimestamp  int64
}

// parseHeader reads the header of a batch. It fails when this is none: of what the checksum does not cover, the
// version is 2 and the leader epoch is not negative. It is 0 but in logs whose leader was once elected anew, by a
// broker that still offered that.
func parseHeader(h []byte) (b batch, err error) {
	length := int64(binary.BigEndian.Uint32(h[8:]))
	b = batch{
		base:          int64(binary.BigEndian.Uint64(h)),
		epoch:         int32(binary.BigEndian.Uint32(h[12:])),
		crc:           binary.BigEndian.Uint32(h[17:]),
		bytes:         batchLengthStart + length,
		transactional: h[22]&0x10 != 0,
		maxTimestamp:  int64(binary.BigEndian.Uint64(h[35:])),
	}
	delta := int64(int32(binary.BigEndian.Uint32(h[23:])))
	b.next = b.base + delta + 1
	if h[16] != 2 || b.epoch < 0 || b.bytes < batchHeaderBytes || b.bytes > maxBatchBytes || b.base < 0 || delta < 0 {
		return batch{}, errDamaged
	}
	return b, nil
}

// segmentReader reads the batches of a file of size bytes.
type segmentReader struct {
	file io.ReaderAt
	size int64
	buf  []byte
}

// batchAt returns the batch at pos, which must begin with offset base. It fails with io.EOF at the end of
// the file, with errTorn when the file ends before the batch does, and with errDamaged when the batch is
// not what was written.
func (r *segmentReader) batchAt(pos, base int64) (batch, error) {
	if pos >= r.size {
		return batch{}, io.EOF
	}
	if r.size-pos < batchHeaderBytes {
		return batch{}, errTorn
	}
	var header [batchHeaderBytes]byte
	if _, err := r.file.ReadAt(header[:], pos); err != nil {
		return batch{}, fmt.Errorf("read: %w", err)
	}
	b, err := parseHeader(header[:])
	switch {
	case header == [batchHeaderBytes]byte{}:
		return batch{}, errTorn // some file systems leave zeros behind a power cut
	case err != nil:
		return batch{}, err
	case b.base != base:
		return batch{}, errDamaged
	case b.bytes > r.size-pos:
		return batch{}, errTorn
	}
	r.buf = slices.Grow(r.buf[:0], int(b.bytes))[:b.bytes]
	if _, err := r.file.ReadAt(r.buf, pos); err != nil {
		return batch{}, fmt.Errorf("read: %w", err)
	}
	if checksum(r.buf) != b.crc {
		return batch{}, errDamaged
	}
	return b, nil
}

func checksum(batch []byte) uint32 { return crc32.Checksum(batch[crcStart:], castagnoli) }

// partition names a partition of a topic.
type partition struct {
	topic string
	id    int32
}

func (p partition) String() string { return p.topic + "-" + strconv.Itoa(int(p.id)) }

// dir is the directory of the partition within root.
func (p partition) dir(root string) string {
	return filepath.Join(root, "partitions", url.PathEscape(p.topic)+"-"+strconv.Itoa(int(p.id)))
}

// parsePartition is the reverse of dir's last element.
func parsePartition(name string) (partition, bool) {
	dash := strings.LastIndexByte(name, '-')
	if dash < 0 {
		return partition{}, false
	}
	topic, err := url.PathUnescape(name[:dash])
	id, bad := strconv.ParseInt(name[dash+1:], 10, 32)
	return partition{topic, int32(id)}, err == nil && bad == nil && id >= 0
}

func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, strconv.FormatInt(base, 10)+".dat")
}

// segments returns the first offset of each segment in dir, in order; none when there is no dir.
func segments(dir string) ([]int64, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".dat"); ok {
			if base, err := strconv.ParseInt(name, 10, 64); err == nil {
				bases = append(bases, base)
			}
		}
	}
	slices.Sort(bases)
	return bases, nil
}
