package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"strings"
)

// The first bytes of MQTT packets.
const (
	connectByte     = 0x10
	connackByte     = 0x20
	publishByte     = 0x30
	pubrelByte      = 0x62
	subscribeByte   = 0x82
	subackByte      = 0x90
	unsubscribeByte = 0xa2
	pingreqByte     = 0xc0
	disconnectByte  = 0xe0
)

// The versions of MQTT.
const (
	v311 = 4
	v5   = 5
)

// packet is an MQTT packet.
func packet(first byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return append(append([]byte{first}, varint(len(body))...), body...)
}

func varint(n int) []byte {
	var b []byte
	for {
		digit := byte(n % 128)
		if n /= 128; n == 0 {
			return append(b, digit)
		}
		b = append(b, digit|0x80)
	}
}

func u16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// text is a string or binary data of MQTT.
func text(s string) []byte { return append(u16(len(s)), s...) }

// properties are those of MQTT 5, with their length before them.
func properties(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return append(varint(len(all)), all...)
}

// The properties that attackers use.
func sessionExpiry(seconds uint32) []byte { return append([]byte{0x11}, u32(seconds)...) }
func topicAlias(n int) []byte             { return append([]byte{0x23}, u16(n)...) }
func willDelay(seconds uint32) []byte     { return append([]byte{0x18}, u32(seconds)...) }
func userProperty(k, v string) []byte     { return append(append([]byte{0x26}, text(k)...), text(v)...) }

// hello is a CONNECT.
type hello struct {
	id         string
	version    byte // 0: v311
	keep       bool // the session: clean=false
	keepalive  int  // seconds
	properties []byte
	will       *will
}

type will struct {
	topic, payload string
	properties     []byte
}

func (h hello) bytes() []byte {
	version, flags := h.version, byte(0)
	if version == 0 {
		version = v311
	}
	if !h.keep {
		flags |= 0x02
	}
	parts := [][]byte{text("MQTT"), {version, 0}, u16(h.keepalive)}
	if version == v5 {
		parts = append(parts, properties(h.properties))
	}
	parts = append(parts, text(h.id))
	if h.will != nil {
		flags |= 0x04
		if version == v5 {
			parts = append(parts, properties(h.will.properties))
		}
		parts = append(parts, text(h.will.topic), text(h.will.payload))
	}
	parts[1] = []byte{version, flags}
	return packet(connectByte, parts...)
}

// publish is a PUBLISH; props is nil for MQTT 3.
func publish(topic string, qos byte, id int, props []byte, payload string) []byte {
	parts := [][]byte{text(topic)}
	if qos > 0 {
		parts = append(parts, u16(id))
	}
	return packet(publishByte|qos<<1, append(parts, props, []byte(payload))...)
}

// subscribe is a SUBSCRIBE of MQTT 3.
func subscribe(id int, filters ...string) []byte {
	parts := [][]byte{u16(id)}
	for _, f := range filters {
		parts = append(parts, text(f), []byte{0})
	}
	return packet(subscribeByte, parts...)
}

func pubrel(id int) []byte { return packet(pubrelByte, u16(id)) }

var (
	pingreq    = packet(pingreqByte)
	disconnect = packet(disconnectByte)
)

// received is a packet of the other side.
type received struct {
	first byte
	body  []byte
}

// read reads a packet.
func read(r *bufio.Reader) (p received, err error) {
	if p.first, err = r.ReadByte(); err != nil {
		return p, err
	}
	n, err := binary.ReadUvarint(r)
	if err != nil {
		return p, err
	}
	if n > 4<<20 {
		return p, errors.New("a packet of more than 4 MiB")
	}
	p.body = make([]byte, n)
	_, err = io.ReadFull(r, p.body)
	return p, err
}

// reason is the reason code of a CONNACK or a DISCONNECT, of any version.
func (p received) reason() byte {
	at := 0
	if p.first == connackByte {
		at = 1
	}
	if len(p.body) <= at {
		return 0
	}
	return p.body[at]
}

// levels is a topic of n levels.
func levels(n int) string { return strings.Repeat("/", n-1) }
