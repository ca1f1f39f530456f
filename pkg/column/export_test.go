package column

import "encoding/binary"

// Bounds for tests.
const (
	MaxCells       = maxCells
	MaxMembers     = maxMembers
	MaxColumnBytes = maxColumnBytes
)

// Stored returns a block with what is in data, with frames that are not compressed: so a change of a byte is one of a
// column.
func Stored(data []byte) []byte {
	b, err := Decode(data)
	if err != nil {
		panic(err)
	}
	out := append([]byte{}, data[:headBytes]...)
	for _, n := range [...]int{int(b.device), len(b.times), len(b.names), len(b.attributeNames)} {
		out = binary.AppendUvarint(out, uint64(n))
	}
	for _, c := range b.columns {
		out = binary.AppendUvarint(out, uint64(c.to-c.from))
	}
	frame, count := 0, 0
	var raw []byte
	for i, c := range b.columns {
		if err := b.column(i, func(r *reader) { raw, r.rest = append(raw, r.rest...), nil }); err != nil {
			panic(err)
		}
		if count++; i+1 == len(b.columns) || b.columns[i+1].frame != c.frame {
			out = append(binary.AppendUvarint(out, uint64(count)), 0)
			frame, count = frame+1, 0
		}
	}
	out = append(out, raw...)
	seal(out)
	return out
}
