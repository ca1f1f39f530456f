// Package packet reads and writes the MQTT packets of a server: MQTT 3.1, 3.1.1 and 5.
//
// What is read stays in the caller's bytes: strings and payloads are slices of them, and properties that
// nobody asks for are checked and passed over, so that reading a packet, however it is made, allocates next to
// nothing. The one exception is a list of topic filters: a SUBSCRIBE or UNSUBSCRIBE takes up to ten times its
// length.
package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
)

// Kind is a type of packet.
type Kind byte

// The types of packets.
const (
	KindConnect Kind = iota + 1
	KindConnack
	KindPublish
	KindPuback
	KindPubrec
	KindPubrel
	KindPubcomp
	KindSubscribe
	KindSuback
	KindUnsubscribe
	KindUnsuback
	KindPingreq
	KindPingresp
	KindDisconnect
	KindAuth
)

// The levels of the protocol.
const (
	V3  = 3 // MQTT 3.1
	V31 = 4 // MQTT 3.1.1
	V5  = 5
)

// Error is why a packet cannot be taken, with MQTT 5's code for it.
type Error struct {
	Code Code
	What string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%#02x)", e.What, byte(e.Code)) }

func malformed(what string) *Error { return &Error{Malformed, "malformed packet: " + what} }
func protocol(what string) *Error  { return &Error{ProtocolError, "protocol error: " + what} }

// Header is a packet's fixed header.
type Header struct {
	Kind   Kind
	Flags  byte // the lower half of the first byte
	Length int  // of what follows
}

// Publish's flags.
func (h Header) QoS() byte    { return h.Flags >> 1 & 3 }
func (h Header) Retain() bool { return h.Flags&1 != 0 }
func (h Header) Dup() bool    { return h.Flags&8 != 0 }

// ReadHeader reads a fixed header whose first byte is first.
func ReadHeader(first byte, r io.ByteReader) (Header, error) {
	h := Header{Kind: Kind(first >> 4), Flags: first & 15}
	switch {
	case h.Kind == KindPublish && h.QoS() == 3:
		return h, malformed("QoS 3")
	case h.Kind == KindPublish:
	case h.Flags != flags(h.Kind) || h.Kind == 0:
		return h, malformed("type and flags")
	}
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return h, err
		}
		h.Length |= int(b&127) << shift
		if b < 128 {
			return h, nil
		}
	}
	return h, malformed("length")
}

// flags are the only ones that a type of packet may have, but for PUBLISH.
func flags(k Kind) byte {
	switch k {
	case KindPubrel, KindSubscribe, KindUnsubscribe:
		return 2
	}
	return 0
}

// fields reads the fields of a packet, one after the other. After an error it reads zeros.
type fields struct {
	b   []byte
	err error
}

func (f *fields) fail(err *Error) {
	if f.err == nil {
		f.err, f.b = err, nil
	}
}

// take returns the next n bytes.
func (f *fields) take(n int) []byte {
	if n > len(f.b) {
		f.fail(malformed("it ends within a field"))
		return nil
	}
	b := f.b[:n:n]
	f.b = f.b[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (f *fields) uint16() uint16 {
	if b := f.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) varint() (n int) {
	for shift := 0; shift < 28; shift += 7 {
		b := f.byte()
		n |= int(b&127) << shift
		if b < 128 {
			return n
		}
	}
	f.fail(malformed("length"))
	return 0
}

// binary reads bytes behind their length.
func (f *fields) binary() []byte { return f.take(int(f.uint16())) }

// text reads a string: UTF-8 without NUL.
func (f *fields) text() []byte {
	b := f.binary()
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		f.fail(malformed("a string is not UTF-8"))
		return nil
	}
	return b
}

// end returns what is wrong with the packet: also that something is left of it.
func (f *fields) end() error {
	if len(f.b) > 0 {
		f.fail(malformed("bytes behind the last field"))
	}
	return f.err
}

// ID reads the packet id of an acknowledgement; what else is in it is of no interest.
func ID(body []byte) (uint16, error) {
	f := fields{b: body}
	id := f.uint16()
	if f.err == nil && id == 0 {
		f.fail(protocol("packet id 0"))
	}
	return id, f.err
}
