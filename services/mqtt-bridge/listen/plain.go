package listen

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

// useTLS is what a client is told that speaks no TLS.
const useTLS = "this port takes TLS alone: connect with TLS, and trust the CA of its certificate (with TLS=self: tls/ca.crt in DATA_DIR)"

// maxPlainRest is how much is read of such a client after it was told, so that it gets that: its CONNECT and some more.
const maxPlainRest = 2 * maxControlBytes

// tellToUseTLS tells the client of c, whose words plain has, to use TLS, in its version of MQTT, or in HTTP where it is on the port of WebSockets.
// Of a CONNECT no more is looked at than the version. It returns the refusal.
func (c *connection) tellToUseTLS(plain net.Conn, web bool) error {
	refused := &refusal{reason: byNoTLS, code: packet.NotAuthorized, what: "no TLS"}
	_ = plain.SetWriteDeadline(time.Now().Add(timeouts.MQTTDisconnect))
	if web {
		c.endpoint.plain.Tell(plain)
		return refused
	}
	in := input{conn: plain}
	defer in.free()
	version, err := versionOf(&in)
	if err != nil {
		return errors.Join(refused, err)
	}
	if _, err := plain.Write(packet.AppendRefusal(nil, version, refused.code, useTLS)); err != nil {
		return errors.Join(refused, err)
	}
	// To close with bytes unread would reset the connection, and could destroy what was sent.
	if half, ok := plain.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = plain.SetReadDeadline(time.Now().Add(timeouts.MQTTDisconnect))
		_, _ = io.CopyN(io.Discard, plain, maxPlainRest)
	}
	return refused
}

// versionOf reads a CONNECT as far as its version of MQTT.
func versionOf(in *input) (byte, error) {
	first, err := in.ReadByte()
	if err != nil {
		return 0, err
	}
	h, err := packet.ReadHeader(first, in)
	if err != nil {
		return 0, err
	}
	if h.Kind != packet.KindConnect {
		return 0, errNotFirst
	}
	const name = "\x00\x04MQTT"
	b, err := in.Peek(len(name) + 1)
	if err != nil {
		return 0, err
	}
	if string(b[:len(name)]) != name {
		return packet.V3, nil
	}
	return b[len(name)], nil
}
