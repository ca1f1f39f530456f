package packet

import (
	"bytes"
	"slices"
)

// Connect is a CONNECT.
type Connect struct {
	Version       byte // as soon as it is known, also beside an error
	Clean         bool // the client wants a new session
	ClientID      []byte
	User          []byte // nil where none is given
	Password      []byte // nil where none is given
	KeepAlive     uint16 // s; 0 is none
	SessionExpiry uint32 // s after the connection; only of MQTT 5
	MaxPacketSize uint32 // that the client takes; 0 is any
	HasWill       bool
	Will          Will
}

// Will is what a client wants published when its connection breaks.
type Will struct {
	Topic, Payload []byte
	Retain         bool
	Delay          uint32 // s
}

// The flags of a CONNECT.
const (
	flagClean    = 0x02
	flagWill     = 0x04
	flagRetain   = 0x20
	flagPassword = 0x40
	flagUser     = 0x80
)

// ReadConnect reads a CONNECT.
func ReadConnect(body []byte) (Connect, error) {
	var c Connect
	f := fields{b: body}
	name, version := f.binary(), f.byte()
	switch {
	case f.err != nil:
		return c, f.err
	case string(name) != "MQTT" && string(name) != "MQIsdp":
		return c, protocol("not MQTT")
	case string(name) == "MQIsdp" && version != V3, string(name) == "MQTT" && version != V31 && version != V5:
		c.Version = V31
		return c, &Error{UnsupportedVersion, "level of the protocol"}
	}
	c.Version = version
	flags := f.byte()
	will := flags & (flagWill | flagRetain | 0x18)
	switch {
	case flags&1 != 0:
		return c, malformed("flag 0 of CONNECT")
	case will&0x18 == 0x18 || will != 0 && will&flagWill == 0:
		return c, malformed("flags of the will")
	}
	c.Clean = flags&flagClean != 0
	c.KeepAlive = f.uint16()
	if version == V5 {
		c.properties(&f)
	}
	c.ClientID = f.text()
	if will != 0 {
		c.HasWill = true
		c.Will.read(&f, version)
		c.Will.Retain = flags&flagRetain != 0
	}
	if flags&flagUser != 0 {
		c.User = f.text()
	}
	if flags&flagPassword != 0 {
		c.Password = f.binary()
	}
	if err := f.end(); err != nil {
		return c, err
	}
	if version == V3 && (len(c.ClientID) == 0) || version == V31 && len(c.ClientID) == 0 && !c.Clean {
		return c, &Error{ClientIDNotValid, "no client id, and no clean session"}
	}
	return c, nil
}

func (c *Connect) properties(f *fields) {
	f.properties(inConnect, func(id int, value uint32, _ []byte) {
		switch id {
		case propSessionExpiry:
			c.SessionExpiry = value
		case propAuthenticationMethod:
			f.fail(&Error{BadAuthMethod, "authentication method"})
		case propMaximumPacketSize:
			if c.MaxPacketSize = value; value == 0 {
				f.fail(protocol("a maximum packet size of 0"))
			}
		case propReceiveMaximum:
			if value == 0 {
				f.fail(protocol("a receive maximum of 0"))
			}
		}
	})
}

func (w *Will) read(f *fields, version byte) {
	if version == V5 {
		f.properties(inWill, func(id int, value uint32, _ []byte) {
			if id == propWillDelay {
				w.Delay = value
			}
		})
	}
	w.Topic = f.text()
	w.Payload = f.binary()
	if f.err == nil && !ValidTopic(w.Topic) {
		f.fail(&Error{TopicNameInvalid, "topic of the will"})
	}
}

// Publish is a PUBLISH.
type Publish struct {
	Topic      []byte // empty where there is an alias alone
	Alias      uint16 // 0 is none
	ID         uint16 // 0 at QoS 0
	Payload    []byte
	properties []byte // as they were sent; only of MQTT 5
}

// ReadPublish reads a PUBLISH.
func ReadPublish(h Header, body []byte, version byte) (Publish, error) {
	var p Publish
	f := fields{b: body}
	p.Topic = f.text()
	if h.QoS() > 0 {
		if p.ID = f.uint16(); p.ID == 0 {
			f.fail(protocol("packet id 0"))
		}
	}
	if version == V5 {
		before := f.b
		f.properties(inPublish, func(id int, value uint32, _ []byte) {
			if id == propTopicAlias {
				if p.Alias = uint16(value); value == 0 {
					f.fail(&Error{TopicAliasInvalid, "topic alias 0"})
				}
			}
		})
		p.properties = before[:len(before)-len(f.b)]
	}
	p.Payload = f.b
	if f.err == nil && (len(p.Topic) > 0 || p.Alias == 0) && !ValidTopic(p.Topic) {
		f.fail(&Error{TopicNameInvalid, "topic"})
	}
	return p, f.err
}

// Filter is a topic filter in a SUBSCRIBE or, without options, in an UNSUBSCRIBE.
type Filter struct {
	Filter  []byte
	NoLocal bool // nothing that the client itself publishes
}

// ReadSubscribe reads a SUBSCRIBE.
func ReadSubscribe(body []byte, version byte) (id uint16, filters []Filter, err error) {
	f := fields{b: body}
	if id = f.uint16(); id == 0 {
		f.fail(protocol("packet id 0"))
	}
	allowed := byte(0x03)
	if version == V5 {
		allowed = 0x3f
		f.properties(inSubscribe, func(id int, _ uint32, _ []byte) {
			if id == propSubscriptionID {
				f.fail(&Error{SubscriptionIDsNotTaken, "subscription identifier"})
			}
		})
	}
	for f.err == nil && len(f.b) > 0 {
		filter, options := f.text(), f.byte()
		if options&^allowed != 0 || options&3 == 3 || options&0x30 == 0x30 {
			f.fail(malformed("options of a subscription"))
		}
		filters = append(filters, Filter{filter, options&4 != 0})
	}
	if f.err == nil && len(filters) == 0 {
		f.fail(protocol("no topic filter"))
	}
	return id, filters, f.err
}

// ReadUnsubscribe reads an UNSUBSCRIBE.
func ReadUnsubscribe(body []byte, version byte) (id uint16, filters []Filter, err error) {
	f := fields{b: body}
	if id = f.uint16(); id == 0 {
		f.fail(protocol("packet id 0"))
	}
	if version == V5 {
		f.properties(inUnsubscribe, nil)
	}
	for f.err == nil && len(f.b) > 0 {
		filters = append(filters, Filter{Filter: f.text()})
	}
	if f.err == nil && len(filters) == 0 {
		f.fail(protocol("no topic filter"))
	}
	return id, filters, f.err
}

// Disconnect is a DISCONNECT.
type Disconnect struct {
	Code          Code
	HasExpiry     bool
	SessionExpiry uint32 // s
}

// ReadDisconnect reads a DISCONNECT.
func ReadDisconnect(body []byte, version byte) (Disconnect, error) {
	var d Disconnect
	f := fields{b: body}
	if version == V5 && len(f.b) > 0 {
		d.Code = Code(f.byte())
		if len(f.b) > 0 {
			f.properties(inDisconnect, func(id int, value uint32, _ []byte) {
				if id == propSessionExpiry {
					d.HasExpiry, d.SessionExpiry = true, value
				}
			})
		}
	}
	return d, f.end()
}

// ValidTopic reports whether t can be published to.
func ValidTopic(t []byte) bool { return len(t) > 0 && !bytes.ContainsAny(t, "+#") }

// ValidFilter reports whether f can be subscribed to.
func ValidFilter(f []byte) bool {
	for level := range bytes.SplitSeq(f, []byte("/")) {
		if len(level) > 1 && bytes.ContainsAny(level, "+#") {
			return false
		}
	}
	hash := slices.Index(f, '#')
	return len(f) > 0 && (hash < 0 || hash == len(f)-1)
}
