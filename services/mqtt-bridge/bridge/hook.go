package bridge

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"sync/atomic"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// ID names the hook in mochi's log.
func (e *endpoint) ID() string { return "telltale" }

// Provides tells mochi which of the methods below to call.
func (e *endpoint) Provides(method byte) bool {
	switch method {
	case mochi.OnConnect, mochi.OnConnectAuthenticate, mochi.OnACLCheck, mochi.OnSessionEstablished,
		mochi.OnPacketRead, mochi.OnPublish, mochi.OnSubscribe, mochi.OnPacketEncode, mochi.OnWill, mochi.OnWillSent:
		return true
	}
	return false
}

// maxKeepalive, in seconds, is the longest of which mochi can tell one and a half times, in 16 bits.
const maxKeepalive = math.MaxUint16 / 3 * 2

// OnConnect shortens a keepalive that is longer than that. A device with MQTT 5 is told; one with MQTT 3
// keeps to its own, which is no longer than the one and a half times that it is waited for.
func (e *endpoint) OnConnect(client *mochi.Client, _ packets.Packet) error {
	if s := &client.State; s.Keepalive > maxKeepalive {
		s.Keepalive, s.ServerKeepalive = maxKeepalive, true
	}
	return nil
}

// OnConnectAuthenticate lets every device in: TLS has refused those that are to stay out (see secure).
func (e *endpoint) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

// OnACLCheck allows everything but reading $SYS.
func (e *endpoint) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	return write || !strings.HasPrefix(topic, mochi.SysPrefix)
}

// OnSessionEstablished is called before the first packet after CONNECT is read.
func (e *endpoint) OnSessionEstablished(client *mochi.Client, _ packets.Packet) {
	c := client.Net.Conn.(*conn)
	e.session(client, c)
	// Nothing is sent that is to be acknowledged. Otherwise mochi looks, with each packet received,
	// through all QoS 2 messages for one that is due.
	client.State.Inflight.ResetSendQuota(0)
	e.pipe.metrics.connects.Inc()
	e.pipe.metrics.connections.Inc()
}

// OnPublish takes a message over. It is called by the goroutine that reads the connection: while it
// waits for room, nothing more is read.
func (e *endpoint) OnPublish(client *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	c := client.Net.Conn.(*conn)
	h := pk.FixedHeader
	e.pipe.metrics.receive(h.Qos)

	// Towards mochi the message has QoS 0, which it does not acknowledge, and is not forwarded unless
	// somebody may be looking.
	pk.FixedHeader.Qos, pk.FixedHeader.Retain, pk.Ignore = 0, false, true

	if pk.TopicName == "" {
		e.pipe.metrics.messages.SettleOne(messageRefused)
		_ = e.server.DisconnectClient(client, packets.ErrTopicAliasInvalid)
		return pk, nil
	}
	if h.Qos == 2 && client.State.Inflight.Len() > maxUnanswered {
		e.pipe.metrics.messages.SettleOne(messageRefused)
		_ = e.server.DisconnectClient(client, packets.ErrReceiveMaximum)
		return pk, nil
	}
	m := e.pipe.newMessage(c.line, pk.TopicName, pk.Payload, h.Qos, pk.PacketID, h.Retain)
	device, ok := e.pipe.filters.match(m.topic)
	switch {
	case h.Qos > 0 && c.line.resume(c, m, h.Dup):
		e.pipe.metrics.messages.SettleOne(messageResent)
		return pk, nil
	case !ok:
		e.pipe.pass(c, m)
	case e.waitForRoom(c, m):
		m.device = device
		e.pipe.take(c, m)
	default:
		e.pipe.metrics.messages.SettleOne(messageRefused)
		_ = c.Close()
		return pk, nil
	}
	pk.Ignore = atomic.LoadInt64(&e.server.Info.Subscriptions) == 0
	return pk, nil
}

// waitForRoom takes what m needs of the quotas, when there is that much. It returns false when the
// connection is to be closed instead: it was closed anyway, the bridge stops, or the device has been kept
// waiting for so long that it must believe the connection dead.
func (e *endpoint) waitForRoom(c *conn, m *message) bool {
	if !e.wait(c, &m.line.open, 1) {
		return false
	}
	if !e.wait(c, &e.pipe.inFlight, m.cost) {
		m.line.open.release(1)
		return false
	}
	return true
}

func (e *endpoint) wait(c *conn, q *quota, n int) bool {
	room := q.take(n)
	if room == nil {
		return true
	}
	e.pipe.metrics.stalls.Inc()
	var tooLong <-chan time.Time // never, with a keepalive of 0
	if !c.deadline.IsZero() {
		t := time.NewTimer(time.Until(c.deadline))
		defer t.Stop()
		tooLong = t.C
	}
	for ; room != nil; room = q.take(n) {
		select {
		case <-room:
		case <-tooLong:
			return false
		case <-c.closed:
			return false
		case <-e.stop:
			<-c.closed // after the acknowledgements of what was taken before
			return false
		}
	}
	return true
}

// confirmed lets mochi answer the release of a QoS 2 message, and until then every PUBLISH with its id: by
// PUBREC, without a call of OnPublish.
func confirmed(client *mochi.Client, m *message) {
	client.State.Inflight.Set(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Pubrec},
		PacketID:    m.id,
		Payload:     binary.BigEndian.AppendUint64(nil, m.hash), // for OnPacketRead; a PUBREC has none
		Created:     time.Now().Unix(),
	})
}

// OnPacketRead looks for a PUBLISH that has the id of a QoS 2 message which was never released, and is
// another message, as line.resume does for those that are not confirmed: a device may have forgotten its
// state. mochi would take it for a repetition.
func (e *endpoint) OnPacketRead(client *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	h := pk.FixedHeader
	if h.Type != packets.Publish || h.Qos == 0 {
		return pk, nil
	}
	if h.Qos == 2 && h.Dup {
		was, ok := client.State.Inflight.Get(pk.PacketID)
		hash := binary.BigEndian.AppendUint64(nil, contentHash(pk.TopicName, pk.Payload))
		if !ok || bytes.Equal(was.Payload, hash) {
			return pk, nil
		}
	}
	client.State.Inflight.Delete(pk.PacketID)
	return pk, nil
}

// OnSubscribe grants QoS 0 to all.
func (e *endpoint) OnSubscribe(_ *mochi.Client, pk packets.Packet) packets.Packet {
	for i := range pk.Filters {
		pk.Filters[i].Qos = 0
	}
	return pk
}

// OnPacketEncode completes two packets of mochi's.
func (e *endpoint) OnPacketEncode(client *mochi.Client, pk packets.Packet) packets.Packet {
	switch pk.FixedHeader.Type {
	case packets.Connack:
		if client.Properties.ProtocolVersion != 5 {
			pk.ReasonCode = returnCode(pk.ReasonCode)
		}
		pk.Properties.MaximumPacketSize = e.max
		pk.Properties.TopicAliasMaximum = topicAliases
	case packets.Pubrec: // for a message sent again, of which mochi says that its id is in use: an error
		pk.ReasonCode, pk.Properties = packets.CodeSuccess.Code, packets.Properties{}
	}
	return pk
}

// returnCode is MQTT 3.1.1's return code for a reason of MQTT 5's that mochi does not translate.
func returnCode(reason byte) byte {
	switch {
	case reason < packets.ErrUnspecifiedError.Code:
		return reason
	case reason == packets.ErrUnspecifiedError.Code: // no client id, and no clean session
		return packets.Err3ClientIdentifierNotValid.Code
	case reason == packets.ErrServerBusy.Code:
		return packets.Err3ServerUnavailable.Code
	default: // no such protocol, or no such version
		return packets.Err3UnsupportedProtocolVersion.Code
	}
}

// OnWill is called before a will is published. mochi forgets delayed wills whose session ends first,
// though that should publish them.
func (e *endpoint) OnWill(client *mochi.Client, will mochi.Will) (mochi.Will, error) {
	session := client.Properties.Props.SessionExpiryInterval
	if delay := &client.Properties.Will.WillDelayInterval; *delay >= session {
		*delay = max(session, 1) - 1
	}
	return will, nil
}

// OnWillSent takes a will on a topic of readings, as any message at QoS 0. It is called when a connection
// breaks, and for delayed wills by a goroutine of mochi's own: the client may be connecting again just then.
func (e *endpoint) OnWillSent(_ *mochi.Client, pk packets.Packet) {
	if pk.FixedHeader.Retain { // mochi has kept it: take it out again
		e.server.Topics.RetainMessage(packets.Packet{FixedHeader: pk.FixedHeader, TopicName: pk.TopicName})
	}
	device, ok := e.pipe.filters.match(pk.TopicName)
	if !ok {
		return
	}
	m := e.pipe.newMessage(e.wills, pk.TopicName, pk.Payload, 0, 0, pk.FixedHeader.Retain)
	m.device = device
	m.line.open.add(1)
	e.pipe.inFlight.add(m.cost)
	e.pipe.metrics.messages.Take(1)
	e.pipe.take(nil, m)
}
