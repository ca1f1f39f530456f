package packet

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	paho5 "github.com/eclipse/paho.golang/packets"
	paho3 "github.com/eclipse/paho.mqtt.golang/packets"
)

// FuzzRead reads arbitrary bytes as each packet that a client sends. What is taken must be what Eclipse's codecs,
// which are others for MQTT 3 and 5, make of the same bytes.
func FuzzRead(f *testing.F) {
	for _, p := range seeds(f) {
		f.Add(p.bytes, p.version)
	}
	f.Fuzz(func(t *testing.T, b []byte, version byte) {
		if version%2 == 0 {
			version = V31
		} else {
			version = V5
		}
		if len(b) == 0 {
			return
		}
		r := bytes.NewReader(b[1:])
		h, err := ReadHeader(b[0], r)
		if err != nil || r.Len() != h.Length {
			return
		}
		body := b[len(b)-r.Len():]
		before := bytes.Clone(body)
		got, taken := describe(h, body, version)
		if !bytes.Equal(before, body) {
			t.Fatal("the bytes were changed")
		}
		if !taken {
			return
		}
		if h.Kind == KindConnect {
			version = body[6] // of MQTT: MQIsdp has another length, and its level is MQTT 3's
			if body[1] == 6 {
				version = V31
			}
		}
		if want := foreign(b, version); got != want {
			t.Errorf("version %d: % x\nis taken for %s\nand is       %s", version, b, got, want)
		}
	})
}

type seed struct {
	bytes   []byte
	version byte
}

func seeds(t testing.TB) (all []seed) {
	ref := func(n uint32) *uint32 { return &n }
	alias := uint16(3)
	for _, p := range []*paho5.ControlPacket{
		{Content: &paho5.Connect{
			ProtocolName: "MQTT", ProtocolVersion: 5, ClientID: "a", KeepAlive: 60, CleanStart: true, UsernameFlag: true, Username: "me",
			PasswordFlag: true, Password: []byte("secret"), Properties: &paho5.Properties{SessionExpiryInterval: ref(60), MaximumPacketSize: ref(1000)},
			WillFlag: true, WillTopic: "w", WillMessage: []byte("gone"), WillQOS: 1, WillRetain: true, WillProperties: &paho5.Properties{WillDelayInterval: ref(5)},
		}, FixedHeader: paho5.FixedHeader{Type: paho5.CONNECT}},
		{Content: &paho5.Publish{
			Topic: "sensors/data", QoS: 1, PacketID: 7, Payload: []byte("{}"),
			Properties: &paho5.Properties{TopicAlias: &alias, ContentType: "x", User: []paho5.User{{Key: "a", Value: "b"}}, CorrelationData: []byte{1}},
		}, FixedHeader: paho5.FixedHeader{Type: paho5.PUBLISH, Flags: 2}},
		{Content: &paho5.Subscribe{PacketID: 1, Subscriptions: []paho5.SubOptions{{Topic: "a/#", QoS: 1, NoLocal: true}, {Topic: "b"}}, Properties: &paho5.Properties{}}, FixedHeader: paho5.FixedHeader{Type: paho5.SUBSCRIBE, Flags: 2}},
		{Content: &paho5.Unsubscribe{PacketID: 2, Topics: []string{"a", "b"}, Properties: &paho5.Properties{}}, FixedHeader: paho5.FixedHeader{Type: paho5.UNSUBSCRIBE, Flags: 2}},
		{Content: &paho5.Disconnect{ReasonCode: 4, Properties: &paho5.Properties{SessionExpiryInterval: ref(1)}}, FixedHeader: paho5.FixedHeader{Type: paho5.DISCONNECT}},
	} {
		var b bytes.Buffer
		if _, err := p.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		all = append(all, seed{b.Bytes(), V5})
	}
	connect := paho3.NewControlPacket(paho3.Connect).(*paho3.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.ClientIdentifier, connect.Keepalive = "MQTT", 4, "a", 60
	connect.WillFlag, connect.WillTopic, connect.WillMessage = true, "w", []byte("gone")
	old := *connect
	old.ProtocolName, old.ProtocolVersion = "MQIsdp", 3
	publish := paho3.NewControlPacket(paho3.Publish).(*paho3.PublishPacket)
	publish.TopicName, publish.Qos, publish.MessageID, publish.Payload = "sensors/data", 2, 7, []byte("{}")
	subscribe := paho3.NewControlPacket(paho3.Subscribe).(*paho3.SubscribePacket)
	subscribe.MessageID, subscribe.Topics, subscribe.Qoss = 1, []string{"a/#", "b"}, []byte{2, 0}
	unsubscribe := paho3.NewControlPacket(paho3.Unsubscribe).(*paho3.UnsubscribePacket)
	unsubscribe.MessageID, unsubscribe.Topics = 2, []string{"a", "b"}
	for _, p := range []paho3.ControlPacket{connect, &old, publish, subscribe, unsubscribe} {
		var b bytes.Buffer
		if err := p.Write(&b); err != nil {
			t.Fatal(err)
		}
		all = append(all, seed{b.Bytes(), V31})
	}
	return all
}

// describe reads a packet, and says what it is.
func describe(h Header, body []byte, version byte) (text string, taken bool) {
	switch h.Kind {
	case KindConnect:
		c, err := ReadConnect(body)
		return fmt.Sprintf("CONNECT %d %q %v %d %v %q %q %v; %d %d %d", c.Version, c.ClientID, c.Clean, c.KeepAlive,
			c.HasWill, c.Will.Topic, c.Will.Payload, c.Will.Retain, c.SessionExpiry, c.MaxPacketSize, c.Will.Delay), err == nil
	case KindPublish:
		p, err := ReadPublish(h, body, version)
		return fmt.Sprintf("PUBLISH %d %q %d %q %v %v; %d", h.QoS(), p.Topic, p.ID, p.Payload, h.Dup(), h.Retain(), p.Alias), err == nil
	case KindSubscribe:
		id, filters, err := ReadSubscribe(body, version)
		text = fmt.Sprint("SUBSCRIBE ", id)
		for _, f := range filters {
			text += fmt.Sprintf(" %q %v", f.Filter, f.NoLocal)
		}
		return text, err == nil && !slices.ContainsFunc(filters, func(f Filter) bool { return len(f.Filter) == 0 })
	case KindUnsubscribe:
		id, filters, err := ReadUnsubscribe(body, version)
		text = fmt.Sprint("UNSUBSCRIBE ", id)
		for _, f := range filters {
			text += fmt.Sprintf(" %q", f.Filter)
		}
		// At an empty one, which nobody can have subscribed to, paho stops.
		return text, err == nil && !slices.ContainsFunc(filters, func(f Filter) bool { return len(f.Filter) == 0 })
	case KindDisconnect:
		d, err := ReadDisconnect(body, version)
		return fmt.Sprintf("DISCONNECT %d %v %d", d.Code, d.HasExpiry, d.SessionExpiry), err == nil && version == V5 && len(body) > 1 // paho needs properties
	}
	return "", false
}

// foreign says what Eclipse's codec for version makes of b.
func foreign(b []byte, version byte) string {
	if version == V5 {
		return foreign5(b)
	}
	p, err := paho3.ReadPacket(bytes.NewReader(b))
	if err != nil {
		return err.Error()
	}
	switch p := p.(type) {
	case *paho3.ConnectPacket:
		return fmt.Sprintf("CONNECT %d %q %v %d %v %q %q %v; 0 0 0", p.ProtocolVersion, p.ClientIdentifier, p.CleanSession, p.Keepalive,
			p.WillFlag, p.WillTopic, p.WillMessage, p.WillRetain)
	case *paho3.PublishPacket:
		return fmt.Sprintf("PUBLISH %d %q %d %q %v %v; 0", p.Qos, p.TopicName, p.MessageID, p.Payload, p.Dup, p.Retain)
	case *paho3.SubscribePacket:
		text := fmt.Sprint("SUBSCRIBE ", p.MessageID)
		for _, f := range p.Topics {
			text += fmt.Sprintf(" %q false", f)
		}
		return text
	case *paho3.UnsubscribePacket:
		text := fmt.Sprint("UNSUBSCRIBE ", p.MessageID)
		for _, f := range p.Topics {
			text += fmt.Sprintf(" %q", f)
		}
		return text
	}
	return fmt.Sprintf("%T", p)
}

func foreign5(b []byte) string {
	packet, err := paho5.ReadPacket(bytes.NewReader(b))
	if err != nil {
		return err.Error()
	}
	value := func(p *uint32) uint32 {
		if p == nil {
			return 0
		}
		return *p
	}
	switch p := packet.Content.(type) {
	case *paho5.Connect:
		delay := uint32(0)
		if p.WillProperties != nil {
			delay = value(p.WillProperties.WillDelayInterval)
		}
		return fmt.Sprintf("CONNECT %d %q %v %d %v %q %q %v; %d %d %d", p.ProtocolVersion, p.ClientID, p.CleanStart, p.KeepAlive,
			p.WillFlag, p.WillTopic, p.WillMessage, p.WillRetain,
			value(p.Properties.SessionExpiryInterval), value(p.Properties.MaximumPacketSize), delay)
	case *paho5.Publish:
		alias := uint16(0)
		if p.Properties.TopicAlias != nil {
			alias = *p.Properties.TopicAlias
		}
		return fmt.Sprintf("PUBLISH %d %q %d %q %v %v; %d", p.QoS, p.Topic, p.PacketID, p.Payload, p.Duplicate, p.Retain, alias)
	case *paho5.Subscribe:
		text := fmt.Sprint("SUBSCRIBE ", p.PacketID)
		for _, s := range p.Subscriptions {
			text += fmt.Sprintf(" %q %v", s.Topic, s.NoLocal)
		}
		return text
	case *paho5.Unsubscribe:
		text := fmt.Sprint("UNSUBSCRIBE ", p.PacketID)
		for _, topic := range p.Topics {
			text += fmt.Sprintf(" %q", topic)
		}
		return text
	case *paho5.Disconnect:
		has := p.Properties != nil && p.Properties.SessionExpiryInterval != nil
		expiry := uint32(0)
		if has {
			expiry = value(p.Properties.SessionExpiryInterval)
		}
		return fmt.Sprintf("DISCONNECT %d %v %d", p.ReasonCode, has, expiry)
	}
	return fmt.Sprintf("%T", packet.Content)
}

// Eclipse's clients understand what is written.
func TestWrite(t *testing.T) {
	forwarded := func(topic string) Publish {
		var b bytes.Buffer
		alias := uint16(3)
		p := paho5.ControlPacket{FixedHeader: paho5.FixedHeader{Type: paho5.PUBLISH}, Content: &paho5.Publish{
			Topic: topic, Payload: []byte("{}"), Properties: &paho5.Properties{TopicAlias: &alias, ContentType: "json", User: []paho5.User{{Key: "a", Value: "b"}}},
		}}
		if _, err := p.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		h, err := ReadHeader(b.Next(1)[0], &b)
		if err != nil {
			t.Fatal(err)
		}
		read, err := ReadPublish(h, b.Bytes(), V5)
		if err != nil {
			t.Fatal(err)
		}
		return read
	}
	long := string(bytes.Repeat([]byte("x"), 200))
	for name, write := range map[string]func(b []byte, version byte) []byte{
		"CONNACK": func(b []byte, version byte) []byte {
			return Connack{SessionPresent: true, HasExpiry: true, SessionExpiry: 600, AssignedID: long, ReceiveMaximum: 5, MaxPacketSize: 7, TopicAliases: 16}.Append(b, version)
		},
		"refusal":  func(b []byte, version byte) []byte { return AppendRefusal(b, version, ServerBusy, "a reason") },
		"PUBACK":   func(b []byte, version byte) []byte { return AppendAck(b, KindPuback, 7, version, Success) },
		"PUBREC":   func(b []byte, version byte) []byte { return AppendAck(b, KindPubrec, 7, version, QuotaExceeded) },
		"PUBCOMP":  func(b []byte, version byte) []byte { return AppendAck(b, KindPubcomp, 7, version, PacketIDNotFound) },
		"SUBACK":   func(b []byte, version byte) []byte { return AppendSuback(b, 7, version, []Code{0, QuotaExceeded}) },
		"UNSUBACK": func(b []byte, version byte) []byte { return AppendUnsuback(b, 7, version, []Code{0, NoSubscription}) },
		"PINGRESP": func(b []byte, _ byte) []byte { return AppendPingresp(b) },
		"PUBLISH":  func(b []byte, version byte) []byte { return AppendPublish(b, version, long, forwarded(long)) },
		"will": func(b []byte, version byte) []byte {
			return AppendPublish(b, version, "w", Publish{Payload: []byte("x")})
		},
		"DISCONNECT": func(b []byte, version byte) []byte { return AppendDisconnect(b, version, ServerShuttingDown) },
	} {
		t.Run(name, func(t *testing.T) {
			b := write(nil, V5)
			packet, err := paho5.ReadPacket(bytes.NewReader(b))
			if err != nil {
				t.Fatalf("% x: %v", b, err)
			}
			switch p := packet.Content.(type) {
			case *paho5.Connack:
				if name == "CONNACK" && (!p.SessionPresent || *p.Properties.SessionExpiryInterval != 600 || p.Properties.AssignedClientID != long ||
					*p.Properties.ReceiveMaximum != 5 || *p.Properties.MaximumPacketSize != 7 || *p.Properties.TopicAliasMaximum != 16 ||
					*p.Properties.SharedSubAvailable != 0 || *p.Properties.SubIDAvailable != 0 || p.Properties.RetainAvailable != nil) {
					t.Errorf("%v", p)
				}
			case *paho5.Publish:
				if name == "PUBLISH" && (p.Topic != long || string(p.Payload) != "{}" || p.Properties.TopicAlias != nil ||
					p.Properties.ContentType != "json" || len(p.Properties.User) != 1) {
					t.Errorf("%v", p)
				}
			case *paho5.Suback:
				if !slices.Equal(p.Reasons, []byte{0, byte(QuotaExceeded)}) {
					t.Errorf("%v", p)
				}
			}
			old := write(nil, V31)
			if name == "DISCONNECT" {
				if old != nil {
					t.Errorf("MQTT 3 is sent % x", old)
				}
				return
			}
			r := bytes.NewReader(old)
			if p, err := paho3.ReadPacket(r); err != nil || r.Len() > 0 {
				t.Errorf("MQTT 3: % x is %v, %v, and %d bytes are left", old, p, err, r.Len())
			}
		})
	}
}

// Reading a packet takes no memory to speak of, however it is made.
func TestReadAllocates(t *testing.T) {
	user := []byte{propUser, 0, 0, 0, 0}
	properties := bytes.Repeat(user, 200_000)
	body := append([]byte{0, 1, 't'}, appendLength(nil, len(properties))...)
	body = append(append(body, properties...), "payload"...)
	h := Header{Kind: KindPublish, Length: len(body)}
	if n := testing.AllocsPerRun(10, func() {
		if p, err := ReadPublish(h, body, V5); err != nil || string(p.Payload) != "payload" {
			t.Fatal(p, err)
		}
	}); n > 0 {
		t.Errorf("a PUBLISH of %d properties takes %v allocations", 200_000, n)
	}
}
