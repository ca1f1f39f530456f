package pipeline

import (
	"bytes"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/lograte"
	"github.com/telltale-iot/telltale/pkg/payload"
	"github.com/telltale-iot/telltale/pkg/stamp"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
)

const (
	// readingBytes and deadLetterBytes are about what a reading, without its source, and a dead letter take beside the
	// payload that they came in, until Kafka has them. A dead letter takes no less than a reading with its source.
	readingBytes    = 512
	deadLetterBytes = 1536
	// maxRecords is how many a message becomes at most: package payload rejects longer batches.
	maxRecords = 10_000
	// batchWindow is how many records of one batch are in flight to Kafka at a time, where its source may be
	// kept waiting: so that batches neither delay the readings of others, nor take memory for all their records.
	batchWindow = 256
)

// Message is what was published to an MQTT topic.
type Message struct {
	Topic    string
	Client   string // the id of the MQTT client that published it, or "" where nobody knows
	Payload  []byte // the pipeline's until done is called
	Retained bool
	Received time.Time // whole milliseconds
}

// Pipeline is the way to Kafka. It is safe for concurrent use.
type Pipeline struct {
	Metrics *Metrics
	// MayBlock lets Handle block on a long batch, for as long as Kafka takes. Set it before the first message.
	MayBlock bool
	// Now is the clock. A test may set another one before the first message.
	Now func() time.Time

	producer    *producer.Producer
	topic       string
	deadLetters string
	filters     Filters
	share       *budget.Share
	stamps      stamp.Stamper
	log         *slog.Logger
	ignored     lograte.Limiter
	closed      atomic.Bool // nothing new is taken
}

// New returns a pipeline for messages on the topics that filters select. What waits for Kafka takes of share.
func New(cfg kafka.Config, producer *producer.Producer, filters Filters, share *budget.Share, log *slog.Logger, metrics prometheus.Registerer) *Pipeline {
	return &Pipeline{
		Metrics: newMetrics(metrics, func() float64 { return float64(share.Used()) }),
		Now:     time.Now,

		producer: producer, topic: cfg.Topic, deadLetters: cfg.DeadLetterTopic(),
		filters: filters, share: share, log: log,
	}
}

// Message returns what is received at this moment.
func (p *Pipeline) Message(topic, client string, payload []byte, retained bool) Message {
	return Message{Topic: topic, Client: client, Payload: payload, Retained: retained, Received: p.Now().UTC().Truncate(time.Millisecond)}
}

// Matches reports whether topic is one of readings. The payload of any other message need not be kept.
func (p *Pipeline) Matches(topic string) bool {
	_, ok := p.filters.match(topic)
	return ok
}

// Reserve takes of the budget what m needs, and reports whether it did. If not, room is closed when it is worth trying
// again.
func (p *Pipeline) Reserve(m Message) (room <-chan struct{}, ok bool) { return p.share.Take(p.cost(m)) }

// Cancel gives back what Reserve took for m.
func (p *Pipeline) Cancel(m Message) { p.share.Release(p.cost(m)) }

// cost is what m takes while it is decoded. Of a batch it is an estimate: how many records it becomes is not known yet.
func (p *Pipeline) cost(m Message) int {
	if !p.Matches(m.Topic) {
		return 0
	}
	size := len(m.Topic) + len(m.Payload)
	if m.isBatch() {
		return size + deadLetterBytes*min(bytes.Count(m.Payload, []byte{','})+1, p.maxInFlight())
	}
	return size + readingBytes
}

func (m Message) isBatch() bool {
	text := bytes.TrimLeft(m.Payload, " \t\r\n")
	return len(text) > 0 && text[0] == '['
}

// maxInFlight is how many records of a message may be in flight to Kafka at a time.
func (p *Pipeline) maxInFlight() int {
	if p.MayBlock {
		return batchWindow
	}
	return maxRecords
}

// Handle produces m, for which Reserve was successful. It does not block, unless m is a long batch and MayBlock is
// set. done is called once: with nil when Kafka has all of m or m is no reading, and otherwise with an error, after
// which m may be redelivered.
func (p *Pipeline) Handle(m Message, done func(error)) {
	device, ok := p.filters.match(m.Topic)
	switch {
	case !ok:
		p.Metrics.messages.FinishOne(Ignored)
		if n := p.ignored.Event(); n > 0 {
			p.log.Warn("a message is ignored: its topic matches none of MQTT_TOPICS", "topic", m.Topic, "client_id", m.Client, "count", n)
		}
		done(nil)
		return
	case p.closed.Load():
		p.Metrics.messages.FinishOne(Refused)
		p.Cancel(m)
		done(producer.ErrClosed)
		return
	}
	d := &delivery{Message: m, pipe: p, device: device, done: done, cost: p.cost(m)}
	d.waiting.Store(1) // for the decoding
	if p.MayBlock && m.isBatch() {
		d.window = budget.NewShare(batchWindow)
	}
	var (
		decoder payload.Decoder
		decoded struct {
			payload.Result
			one [1]iot.Reading
		}
		inKafka = d.readingDone
		from    = event.NewSource(m.Topic, m.Client)
	)
	decoded.Readings = decoded.one[:0]
	decoder.Start(payload.Message{DeviceID: device, Payload: m.Payload, Received: m.Received, Retained: m.Retained})
	for decoder.More() {
		decoded.Readings, decoded.Rejected, decoded.Omitted = decoded.Readings[:0], decoded.Rejected[:0], decoded.Omitted[:0]
		decoder.Next(&decoded.Result)
		d.addRecords(len(decoded.Readings), len(decoded.Rejected), from)
		for _, r := range decoded.Readings {
			p.stamps.Stamp(&r)
			d.waitForWindow()
			p.producer.Produce(event.RecordFrom(p.topic, r, from), inKafka)
		}
		for _, r := range decoded.Rejected {
			d.waitForWindow()
			d.reject(r)
		}
	}
	d.decoded()
}

// Drain takes nothing new, and waits until Kafka has answered for everything that was taken and it is
// acknowledged, at most timeouts.ProducerDrain.
func (p *Pipeline) Drain() {
	p.closed.Store(true)
	deadline := time.After(timeouts.ProducerDrain)
	check := time.NewTicker(10 * time.Millisecond)
	defer check.Stop()
	for p.share.Used() > 0 {
		select {
		case <-deadline:
			p.log.Warn("stopping with messages that Kafka has not acknowledged; they are sent again by whoever sent them")
			return
		case <-check.C:
		}
	}
}
