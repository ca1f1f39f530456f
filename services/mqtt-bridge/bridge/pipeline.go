package bridge

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/payload"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/stamp"
)

const (
	// inFlightBytes bounds what waits for Kafka, over all connections: payloads, and recordCost for
	// each record.
	inFlightBytes = 64 << 20
	// recordCost is about what a record takes beside the payload that it came in, until Kafka has it.
	recordCost = 512
	// drainTime is how long Kafka's answers are waited for when the bridge is told to stop.
	drainTime = 5 * time.Second
)

// pipeline is the way from an MQTT message to Kafka. Both sources lead into it.
type pipeline struct {
	producer    *kafka.Producer
	topic       string
	deadLetters string
	filters     filters
	log         *slog.Logger
	metrics     *metrics

	inFlight quota // bytes, see inFlightBytes
	stamps   stamp.Stamper
	closed   atomic.Bool // nothing new is taken
}

// take sends m on its way, which was received over c (nil for a will) and for which m.cost and a place in
// its line were taken. It never blocks.
func (p *pipeline) take(c *conn, m *message) {
	if p.closed.Load() || !m.line.push(c, m) {
		p.metrics.messages.SettleOne(messageRefused)
		m.line.settle(m, lost) // not acknowledged: it comes again
		p.inFlight.release(m.cost)
		return
	}
	var room [1]iot.Reading
	readings, rejections := payload.Decode(payload.Message{
		DeviceID: m.device, Payload: m.payload, Received: m.received, Retained: m.retained,
	}, room[:0])

	records := len(readings) + len(rejections)
	p.metrics.readings.Take(records)
	if records > 1 {
		m.cost += (records - 1) * recordCost
		p.inFlight.add((records - 1) * recordCost)
	}
	m.records = records
	m.waiting.Store(int32(records))
	if records == 0 {
		m.done()
		return
	}
	done := m.readingDone
	for _, r := range readings {
		p.stamps.Stamp(&r)
		p.producer.Produce(event.Record(p.topic, r), done)
	}
	for _, r := range rejections {
		p.reject(m, r)
	}
}

// pass lets m, which is no reading, be acknowledged in its turn.
func (p *pipeline) pass(c *conn, m *message) {
	p.metrics.messages.SettleOne(messageIgnored)
	m.state = settled
	m.line.push(c, m)
}

// reject sends r, which is all or a part of m, to the dead-letter topic.
func (p *pipeline) reject(m *message, r iot.Rejection) {
	letter := event.DeadLetter{DeadLetter: iot.DeadLetter{
		Rejection: r, Source: m.topic, Received: m.received, TopicDevice: m.device, Retained: m.retained,
	}}
	letter.Produce(p.producer, p.deadLetters, func(err error) {
		if err == nil {
			p.metrics.deadLetters.WithLabelValues(string(r.Reason)).Inc()
		}
		m.recordDone(&m.dead, err)
	})
}

// drain takes nothing new, and waits until Kafka has answered for everything that was taken and it is
// acknowledged, at most drainTime.
func (p *pipeline) drain() {
	p.closed.Store(true)
	deadline := time.After(drainTime)
	check := time.NewTicker(10 * time.Millisecond)
	defer check.Stop()
	for p.inFlight.inUse() > 0 {
		select {
		case <-deadline:
			p.log.Warn("stopping with messages that Kafka has not acknowledged; they are sent again by whoever sent them")
			return
		case <-check.C:
		}
	}
}

// newMessage returns what was published to topic and received now. payload must not change any more.
func (p *pipeline) newMessage(l *line, topic string, payload []byte, qos byte, id uint16, retained bool) *message {
	m := &message{
		pipe: p, line: l, topic: topic, payload: payload, qos: qos, id: id, retained: retained,
		received: time.Now().UTC().Truncate(time.Millisecond),
		cost:     len(topic) + len(payload) + recordCost,
	}
	if qos > 0 {
		m.hash = contentHash(topic, payload)
	}
	return m
}
