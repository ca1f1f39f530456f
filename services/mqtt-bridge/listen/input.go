package listen

import (
	"io"
	"sync"
)

const (
	// readBuffer holds some 20 readings. A packet that fits in takes no other memory while it is incomplete.
	readBuffer = 4096
	// firstRead is how much a connection reads while it has no buffer, and waits: a reading or two.
	firstRead = 256
)

var buffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// input reads a connection through a buffer. It has the buffer only while there is something in it, or after a read
// that found much: most connections are idle most of the time.
type input struct {
	conn  io.Reader
	first [firstRead]byte
	buf   *[readBuffer]byte // nil while it has none
	r, w  int               // what is buffered is buf[r:w]
	busy  bool              // the last read found more than fits into first
}

// Buffered is how many bytes can be had without waiting.
func (in *input) Buffered() int { return in.w - in.r }

// fill reads something into the buffer, in which there must be room.
func (in *input) fill() error {
	if in.r == in.w && !in.busy {
		in.free()
		n, err := in.conn.Read(in.first[:])
		if n == 0 {
			return err
		}
		in.busy = n == firstRead
		in.buf = buffers.Get().(*[readBuffer]byte)
		in.w = copy(in.buf[:], in.first[:n])
		return nil
	}
	if in.buf == nil {
		in.buf = buffers.Get().(*[readBuffer]byte)
	}
	if in.r > 0 {
		in.r, in.w = 0, copy(in.buf[:], in.buf[in.r:in.w])
	}
	n, err := in.conn.Read(in.buf[in.w:])
	in.busy = n > firstRead
	if in.w += n; n > 0 {
		return nil
	}
	return err
}

// free gives the buffer back.
func (in *input) free() {
	if in.buf != nil {
		buffers.Put(in.buf)
		in.buf = nil
	}
	in.r, in.w = 0, 0
}

// ReadByte implements io.ByteReader.
func (in *input) ReadByte() (byte, error) {
	for in.Buffered() == 0 {
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	b := in.buf[in.r]
	in.r++
	return b, nil
}

// Peek returns the next n bytes, at most readBuffer, which stay where they are until the next read.
func (in *input) Peek(n int) ([]byte, error) {
	for in.Buffered() < n {
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
	if n == 0 {
		return nil, nil
	}
	return in.buf[in.r : in.r+n], nil
}

// Discard passes over n bytes that were peeked at.
func (in *input) Discard(n int) { in.r += n }

// ReadFull fills b.
func (in *input) ReadFull(b []byte) error {
	n := 0
	if in.Buffered() > 0 {
		n = copy(b, in.buf[in.r:in.w])
		in.r += n
	}
	_, err := io.ReadFull(in.conn, b[n:])
	return err
}

// larges has the memory of packets that nobody keeps, for the next ones.
var larges recycler

type recycler struct{ sync.Pool }

func (r *recycler) get(n int) []byte {
	if b, ok := r.Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:n]
	}
	return make([]byte, n)
}

func (r *recycler) put(b []byte) {
	if b != nil {
		r.Put(&b)
	}
}
