package listen

import (
	"bytes"
	"errors"
	"time"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/pipeline"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/session"
)

// handle does what a packet asks for.
func (c *connection) handle(h packet.Header, body []byte) error {
	switch h.Kind {
	case packet.KindPublish:
		return c.publish(h, body)
	case packet.KindPubrel:
		id, err := packet.ID(body)
		if err != nil {
			return err
		}
		code := packet.Success
		if !c.client.Release(c.Conn, id) {
			code = packet.PacketIDNotFound
		}
		c.Queue(packet.AppendAck(nil, packet.KindPubcomp, id, c.version, code))
		return nil
	case packet.KindPuback, packet.KindPubrec, packet.KindPubcomp:
		return nil // these acknowledge nothing: the bridge sends nothing at QoS 1 or 2
	case packet.KindSubscribe:
		return c.subscribe(body)
	case packet.KindUnsubscribe:
		return c.unsubscribe(body)
	case packet.KindPingreq:
		c.Queue(packet.AppendPingresp(nil))
		return nil
	case packet.KindDisconnect:
		return c.disconnect(body)
	default: // AUTH, a second CONNECT, and what only servers send
		return &packet.Error{Code: packet.ProtocolError, What: "a packet that does not belong there"}
	}
}

// publish takes a message. While it waits for room, nothing more is read.
func (c *connection) publish(h packet.Header, body []byte) error {
	p, err := packet.ReadPublish(h, body, c.version)
	if err != nil {
		return err
	}
	topic, err := c.topicOf(p)
	if err != nil {
		return err
	}
	if c.hasEnded() {
		return &refusal{reason: byEnded, code: packet.AdministrativeAction, what: "the credentials have ended", told: true}
	}
	if c.isViewer() {
		return c.publishOfViewer(h, p, topic)
	}
	pipe := c.endpoint.pipe
	pipe.Metrics.Receive(h.QoS())
	m := pipe.Message(topic, c.sends, p.Payload, false) // RETAIN makes it no copy of an earlier message
	sent := session.Publish{ID: p.ID, QoS: h.QoS(), Dup: h.Dup()}
	if sent.QoS > 0 {
		sent.Hash = session.Hash(topic, p.Payload)
	}
	if m.Ignored() && c.version == packet.V5 {
		sent.Code = byte(packet.NoMatchingSubscribers)
	}
	if c.client.Redelivered(c.Conn, sent) {
		pipe.Metrics.CountOutcome(pipeline.Redelivered)
		return nil
	}
	done, err := c.accept(m, sent)
	if done == nil { // refused, by an error or by an acknowledgement with a reason code
		pipe.Metrics.CountOutcome(pipeline.Refused)
		pipe.Missed(topic)
		return err
	}
	switch {
	case m.Ignored(): // then the pipeline does not keep the payload
	case c.large != nil:
		c.large = nil
	default:
		m.Payload = bytes.Clone(m.Payload) // out of the read buffer
	}
	c.strayed = false
	pipe.Handle(m, done)
	if !c.strayed { // else those who look on would take it for another device's
		c.endpoint.hub.forward(c.client, topic, p)
	}
	return nil
}

// publishOfViewer refuses a message of who looks on, whose connection goes on where MQTT has a code for that.
func (c *connection) publishOfViewer(h packet.Header, p packet.Publish, topic string) error {
	err := c.forbid(whyPublish, topic, "who looks on publishes nothing")
	if err == nil {
		return nil
	}
	if c.version != packet.V5 {
		return err
	}
	c.endpoint.metrics.refusals.WithLabelValues(byNotAllowed).Inc()
	switch h.QoS() {
	case 1:
		c.Queue(packet.AppendAck(nil, packet.KindPuback, p.ID, c.version, packet.NotAuthorized))
	case 2:
		c.Queue(packet.AppendAck(nil, packet.KindPubrec, p.ID, c.version, packet.NotAuthorized))
	}
	return nil
}

// accept waits for room for m, and puts it into the in-flight window.
func (c *connection) accept(m pipeline.Message, sent session.Publish) (done func(error), err error) {
	if err := c.waitForShare(c.client.Window, session.WindowCost(sent.QoS)); err != nil {
		return nil, err
	}
	pipe := c.endpoint.pipe
	if err := c.waitFor(func() (<-chan struct{}, bool) { return pipe.Reserve(m) }); err != nil {
		c.client.Window.Release(session.WindowCost(sent.QoS))
		return nil, err
	}
	done, err = c.client.Accept(c.Conn, sent)
	if err == nil {
		return done, nil
	}
	pipe.Cancel(m)
	switch {
	case errors.Is(err, session.ErrDetached):
		return nil, nil // reading from the connection fails next
	case errors.Is(err, session.ErrTooMany):
		return nil, &refusal{reason: byQoS2, code: packet.ReceiveMaximumExceeded, what: err.Error()}
	case c.version == packet.V5:
		c.reportRefusal(byQoS2, err.Error())
		c.Queue(packet.AppendAck(nil, packet.KindPubrec, sent.ID, c.version, packet.QuotaExceeded))
		return nil, nil
	default:
		return nil, &refusal{reason: byQoS2, code: packet.QuotaExceeded, what: err.Error()}
	}
}

// topicOf returns the topic of p, which may be abbreviated.
func (c *connection) topicOf(p packet.Publish) (string, error) {
	topic := c.topic
	switch {
	case !fits(p.Topic):
		return "", &refusal{reason: byTopic, code: packet.TopicNameInvalid, what: "topic too long"}
	case string(p.Topic) != topic:
		topic = string(p.Topic)
	}
	if p.Alias == 0 {
		c.topic = topic
		return topic, nil
	}
	known := c.aliases[p.Alias]
	switch {
	case p.Alias > topicAliases:
		return "", &refusal{reason: byTopicAliases, code: packet.TopicAliasInvalid, what: "topic alias out of range"}
	case topic == "" && known == "":
		return "", &packet.Error{Code: packet.ProtocolError, What: "unknown topic alias"}
	case topic == "":
		return known, nil
	case topic == known:
		return topic, nil
	}
	const each = 64 // beside the topic
	more := len(topic) - len(known)
	if known == "" {
		more += each
	}
	if more > 0 && !c.client.Memory.TryTake(more) {
		return "", &refusal{reason: byTopicAliases, code: packet.QuotaExceeded, what: "too many long topic aliases"}
	}
	if more < 0 {
		c.client.Memory.Release(-more)
	}
	c.aliasBytes += more
	if c.aliases == nil {
		c.aliases = make(map[uint16]string)
	}
	c.aliases[p.Alias] = topic
	return topic, nil
}

// fits reports whether a topic or a filter is within the bounds.
func fits(topic []byte) bool {
	return len(topic) <= maxTopic && bytes.Count(topic, []byte{'/'}) < maxLevels
}

// subscribe grants QoS 0 where there is room, to all but the topics of servers and shared subscriptions.
func (c *connection) subscribe(body []byte) error {
	id, filters, err := packet.ReadSubscribe(body, c.version)
	if err != nil {
		return err
	}
	codes := make([]packet.Code, len(filters))
	err = c.endpoint.changeSubscriptions(c, func(h *hub) {
		for i, f := range filters {
			reason := ""
			switch {
			case !packet.ValidFilter(f.Filter):
				codes[i] = packet.FilterInvalid
			case bytes.HasPrefix(f.Filter, []byte("$share/")):
				codes[i] = packet.SharedNotSupported
			case bytes.HasPrefix(f.Filter, []byte("$")):
				codes[i] = packet.NotAuthorized
			case !c.maySubscribe(string(f.Filter)):
				codes[i] = packet.NotAuthorized
				c.endpoint.metrics.refusals.WithLabelValues(byNotAllowed).Inc()
			case !fits(f.Filter):
				codes[i], reason = packet.FilterInvalid, byFilter
			case !h.subscribe(c, f):
				codes[i], reason = packet.QuotaExceeded, bySubscriptions
			}
			if reason != "" {
				c.reportRefusal(reason, "subscription refused")
			}
		}
	})
	if err != nil {
		return err
	}
	c.Queue(packet.AppendSuback(nil, id, c.version, codes))
	return nil
}

func (c *connection) unsubscribe(body []byte) error {
	id, filters, err := packet.ReadUnsubscribe(body, c.version)
	if err != nil {
		return err
	}
	codes := make([]packet.Code, len(filters))
	err = c.endpoint.changeSubscriptions(c, func(h *hub) {
		for i, f := range filters {
			if !h.unsubscribe(c.client, f.Filter) {
				codes[i] = packet.NoSubscription
			}
		}
	})
	if err != nil {
		return err
	}
	c.Queue(packet.AppendUnsuback(nil, id, c.version, codes))
	return nil
}

// disconnect takes the client's DISCONNECT.
func (c *connection) disconnect(body []byte) error {
	d, err := packet.ReadDisconnect(body, c.version)
	if err != nil {
		return err
	}
	c.hasLeft = d.Code != packet.DisconnectWithWill
	if d.HasExpiry {
		c.hasExpiry, c.expiry = true, min(time.Duration(d.SessionExpiry)*time.Second, sessionExpiry)
	}
	return nil
}
