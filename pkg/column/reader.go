package column

import "encoding/binary"

// reader reads what was appended. After something that cannot be, err is set, and all that is read is zero.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() {
	r.rest, r.err = nil, ErrDamaged
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

// bytes returns the next n bytes, or nil.
func (r *reader) bytes(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail()
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) unsigned() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// upTo reads an integer that is at most limit.
func (r *reader) upTo(limit int) int {
	v := r.unsigned()
	if v > uint64(limit) {
		r.fail()
		return 0
	}
	return int(v)
}

func (r *reader) signed() int64 { return unzigzag(r.unsigned()) }

// end reports what failed, and bytes that are left.
func (r *reader) end() error {
	if len(r.rest) > 0 {
		r.fail()
	}
	return r.err
}
