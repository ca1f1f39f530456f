package simulator

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"
)

// The few packets of MQTT 3.1.1 that a publisher at QoS 1 needs.
const (
	typeConnack  = 0x20
	typePublish  = 0x32 // QoS 1
	flagDup      = 0x08
	flagRetain   = 0x01
	typePuback   = 0x40
	typePingresp = 0xd0
)

var (
	pingreq    = []byte{0xc0, 0}
	disconnect = []byte{0xe0, 0}
)

// appendConnect appends the CONNECT of a session that outlives its connections.
func appendConnect(dst []byte, clientID string, keepAlive time.Duration, user *url.Userinfo) []byte {
	var flags byte
	payload := appendString(nil, clientID)
	if user != nil {
		flags |= 0x80
		payload = appendString(payload, user.Username())
		if password, ok := user.Password(); ok {
			flags |= 0x40
			payload = appendString(payload, password)
		}
	}
	header := append(appendString(nil, "MQTT"), 4, flags)
	header = binary.BigEndian.AppendUint16(header, uint16(keepAlive/time.Second))
	dst = append(dst, 0x10)
	dst = binary.AppendUvarint(dst, uint64(len(header)+len(payload))) // the remaining length of MQTT is one
	return append(append(dst, header...), payload...)
}

// appendPublish appends a PUBLISH at QoS 1.
func appendPublish(dst []byte, p *publication, id uint16, dup bool) []byte {
	first := byte(typePublish)
	if dup {
		first |= flagDup
	}
	if p.retain {
		first |= flagRetain
	}
	dst = append(dst, first)
	dst = binary.AppendUvarint(dst, uint64(2+len(p.topic)+2+len(p.payload)))
	dst = appendString(dst, p.topic)
	dst = binary.BigEndian.AppendUint16(dst, id)
	return append(dst, p.payload...)
}

func appendString(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// readConnack returns why the broker refuses the connection, or nil.
func readConnack(r io.Reader) error {
	var packet [4]byte
	if _, err := io.ReadFull(r, packet[:]); err != nil {
		return fmt.Errorf("read CONNACK: %w", err)
	}
	if packet[0] != typeConnack || packet[1] != 2 {
		return fmt.Errorf("expected a CONNACK, got % x", packet)
	}
	switch packet[3] {
	case 0:
		return nil
	case 4, 5:
		return errors.New("the broker refuses this user name and password")
	default:
		return fmt.Errorf("the broker refuses the connection with code %d", packet[3])
	}
}

// readAck reads the next packet. id is 0 for one that acknowledges nothing.
func readAck(r *bufio.Reader) (id uint16, err error) {
	head, err := r.Peek(2)
	if err != nil {
		return 0, err
	}
	switch {
	case head[0] == typePuback && head[1] == 2:
		packet, err := r.Peek(4)
		if err != nil {
			return 0, err
		}
		id = binary.BigEndian.Uint16(packet[2:])
		_, err = r.Discard(4)
		return id, err
	case head[0] == typePingresp && head[1] == 0:
		_, err := r.Discard(2)
		return 0, err
	default:
		return 0, fmt.Errorf("unexpected packet that starts with % x", head)
	}
}
