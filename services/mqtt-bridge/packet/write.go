package packet

import "encoding/binary"

// Connack is the answer to a CONNECT that is taken.
type Connack struct {
	SessionPresent bool
	// What follows is for MQTT 5 alone.
	SessionExpiry  uint32 // in place of what was asked for; where HasExpiry
	HasExpiry      bool
	AssignedID     string // where the client left that to the server
	ReceiveMaximum uint16
	MaxPacketSize  uint32
	TopicAliases   uint16
}

// Append appends the packet to b. Neither shared subscriptions nor identifiers of subscriptions are offered.
func (c Connack) Append(b []byte, version byte) []byte {
	present := byte(0)
	if c.SessionPresent && version > V3 {
		present = 1
	}
	if version != V5 {
		return append(b, byte(KindConnack)<<4, 2, present, 0)
	}
	var p []byte
	if c.HasExpiry {
		p = binary.BigEndian.AppendUint32(append(p, propSessionExpiry), c.SessionExpiry)
	}
	if c.AssignedID != "" {
		p = appendText(append(p, propAssignedClientID), c.AssignedID)
	}
	p = binary.BigEndian.AppendUint16(append(p, propReceiveMaximum), c.ReceiveMaximum)
	p = binary.BigEndian.AppendUint32(append(p, propMaximumPacketSize), c.MaxPacketSize)
	p = binary.BigEndian.AppendUint16(append(p, propTopicAliasMaximum), c.TopicAliases)
	p = append(p, propSubscriptionIDs, 0, propSharedSubscriptions, 0)
	b = appendHeader(b, KindConnack, 0, 2+lengthOf(len(p))+len(p))
	return append(appendLength(append(b, present, byte(Success)), len(p)), p...)
}

// AppendRefusal appends a CONNACK that refuses, with a reason for people that MQTT 5 alone can say, or "".
func AppendRefusal(b []byte, version byte, code Code, reason string) []byte {
	if version == V5 {
		var p []byte
		if reason != "" {
			p = appendText(append(p, propReasonString), reason)
		}
		b = appendHeader(b, KindConnack, 0, 2+lengthOf(len(p))+len(p))
		return append(appendLength(append(b, 0, byte(code)), len(p)), p...)
	}
	return append(b, byte(KindConnack)<<4, 2, 0, code.returnCode())
}

// AppendAck appends a PUBACK, PUBREC or PUBCOMP. MQTT 3 has no codes, but for success.
func AppendAck(b []byte, kind Kind, id uint16, version byte, code Code) []byte {
	if version == V5 && code != Success {
		return append(b, byte(kind)<<4, 3, byte(id>>8), byte(id), byte(code))
	}
	return append(b, byte(kind)<<4, 2, byte(id>>8), byte(id))
}

// AppendSuback appends a SUBACK, with a code for each filter: QoS 0 or, in MQTT 3, 0x80 for none.
func AppendSuback(b []byte, id uint16, version byte, codes []Code) []byte {
	return appendCodes(b, KindSuback, id, version, codes)
}

// AppendUnsuback appends an UNSUBACK, which has codes in MQTT 5 alone.
func AppendUnsuback(b []byte, id uint16, version byte, codes []Code) []byte {
	if version != V5 {
		codes = nil
	}
	return appendCodes(b, KindUnsuback, id, version, codes)
}

func appendCodes(b []byte, kind Kind, id uint16, version byte, codes []Code) []byte {
	length := 2 + len(codes)
	if version == V5 {
		length++
	}
	b = binary.BigEndian.AppendUint16(appendHeader(b, kind, 0, length), id)
	if version == V5 {
		b = append(b, 0) // properties
	}
	for _, c := range codes {
		if version != V5 && c != Success {
			c = 0x80
		}
		b = append(b, byte(c))
	}
	return b
}

// AppendPingresp appends the answer to a ping.
func AppendPingresp(b []byte) []byte { return append(b, byte(KindPingresp)<<4, 0) }

// AppendDisconnect appends MQTT 5's DISCONNECT; in MQTT 3 servers have none.
func AppendDisconnect(b []byte, version byte, code Code) []byte {
	if version != V5 {
		return b
	}
	return append(b, byte(KindDisconnect)<<4, 1, byte(code))
}

// AppendPublish appends p, to topic, as a PUBLISH at QoS 0.
func AppendPublish(b []byte, version byte, topic string, p Publish) []byte {
	var properties []byte
	if version == V5 {
		f := fields{b: p.properties}
		if len(f.b) > 0 { // none of MQTT 3
			f.properties(inPublish, func(id int, _ uint32, whole []byte) {
				if id != propTopicAlias {
					properties = append(properties, whole...)
				}
			})
		}
	}
	length := 2 + len(topic) + len(p.Payload)
	if version == V5 {
		length += lengthOf(len(properties)) + len(properties)
	}
	b = appendText(appendHeader(b, KindPublish, 0, length), topic)
	if version == V5 {
		b = append(appendLength(b, len(properties)), properties...)
	}
	return append(b, p.Payload...)
}

func appendHeader(b []byte, kind Kind, flags byte, length int) []byte {
	return appendLength(append(b, byte(kind)<<4|flags), length)
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendLength(b []byte, n int) []byte {
	for ; n > 127; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return append(b, byte(n))
}

// lengthOf is how many bytes appendLength appends.
func lengthOf(n int) int {
	bytes := 1
	for ; n > 127; n >>= 7 {
		bytes++
	}
	return bytes
}
