package column

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Blocks are sealed one after the other, so that one encoder does. Readers are many.
var (
	zstdEncoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(128<<10), zstd.WithSingleSegment(true), zstd.WithEncoderCRC(false), zstd.WithAllLitEntropyCompression(true), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic(err) // the options are constant
		}
		return e
	})
	zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(maxColumnBytes))
		if err != nil {
			panic(err)
		}
		return d
	})
)

// compress appends raw to dst, compressed, and says whether it is: what does not become shorter is not.
func compress(dst, raw []byte) (_ []byte, compressed bool) {
	const worthTrying = 64
	start := len(dst)
	if len(raw) >= worthTrying {
		if dst = zstdEncoder().EncodeAll(raw, dst); len(dst)-start < len(raw) {
			return dst, true
		}
	}
	return append(dst[:start], raw...), false
}

// decompress returns what compress made packed of: size bytes, in the place of room where there is enough.
func decompress(room, packed []byte, size int) ([]byte, error) {
	const spare = 64 // its fastest code needs some room behind
	room, err := zstdDecoder().DecodeAll(packed, slices.Grow(room[:0], size+spare))
	if err != nil || len(room) != size {
		return nil, ErrDamaged
	}
	return room, nil
}

// appendFrame appends raw alone: its length, or 0 where it is not compressed, and the bytes.
func appendFrame(dst, raw []byte) []byte {
	start := len(dst)
	dst, compressed := compress(binary.AppendUvarint(dst, uint64(len(raw))), raw)
	if compressed {
		return dst
	}
	return append(append(dst[:start], 0), raw...)
}

// frame reads what appendFrame appended, which is all that there is.
func (r *reader) frame() []byte {
	size := r.upTo(maxColumnBytes)
	packed := r.bytes(len(r.rest))
	if size == 0 || r.err != nil {
		return packed
	}
	raw, err := decompress(nil, packed, size)
	if err != nil {
		r.fail()
	}
	return raw
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is that of the version and of what follows the checksum.
func checksum(block []byte) uint32 {
	return crc32.Update(crc32.Checksum(block[:1], castagnoli), castagnoli, block[headBytes:])
}

// seal sets the checksum.
func seal(block []byte) { binary.LittleEndian.PutUint32(block[1:], checksum(block)) }

// open checks the version and the checksum, and returns what follows them.
func open(data []byte) ([]byte, error) {
	switch {
	case len(data) <= headBytes || binary.LittleEndian.Uint32(data[1:]) != checksum(data):
		return nil, ErrDamaged
	case data[0] != version:
		return nil, ErrVersion
	}
	return data[headBytes:], nil
}
