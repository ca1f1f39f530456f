package pipeline

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/ignored"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/stamp"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/trace"
)

// What a message takes beside its own bytes, until Kafka has all of it.
const (
	// readingBytes is about what the record of a reading takes beside its key and value, and deadLetterBytes that of a dead
	// letter beside bytes that are not the message's own.
	readingBytes    = 384
	deadLetterBytes = 1536
	// growth is about how many times as long as a message its records are: names are repeated for what is nested.
	growth = 40
	// Where its source may be kept waiting, the records of a message are in flight to Kafka within a window, so that a long
	// one neither delays the readings of others, nor takes memory for all its records. A record has a place in it, and
	// one more for each placeBytes of it.
	windowPlaces = 256
	placeBytes   = 512
	windowBytes  = windowPlaces * (placeBytes + deadLetterBytes)
	// stepBytes is about what a step of a decoder appends, which waits for the window.
	stepBytes = 512 << 10
)

// Sender is who published a message, as far as that is known.
type Sender struct {
	Client    string                  // the id of the MQTT client; "" where nobody knows
	Principal string                  // the user name by which it got in; "" where it showed none
	May       func(iot.DeviceID) bool // whether it may send for a device; nil: for all
	Speaks    func(iot.DeviceID) bool // the same for what it says of messages to come
	Own       iot.Identity            // the device that it means where it names none; zero: that is an error
}

// Message is what was published to an MQTT topic.
type Message struct {
	Sender
	Topic    string
	Payload  []byte    // the pipeline's until done is called, unless the message is ignored
	Retained bool      // a broker's copy of an earlier message
	Received time.Time // whole milliseconds

	route mapping.Route // by which it is read
	known bool          // there is one
}

// Ignored reports whether nobody reads messages on m's topic.
func (m Message) Ignored() bool { return !m.known }

// Pipeline is the way to Kafka. It is safe for concurrent use.
type Pipeline struct {
	Metrics *Metrics
	// MayBlock lets Handle block on a long batch, for as long as Kafka takes. Set it before the first message.
	MayBlock bool
	// Send publishes what devices are to get, and does not block. The source sets it before the first message.
	Send func(mapping.Request)
	// Now is the clock. A test may set another one before the first message.
	Now func() time.Time

	producer    *producer.Producer
	topic       string
	deadLetters string
	mappings    *mapping.Set
	share       *budget.Share
	stamps      stamp.Stamper
	log         *slog.Logger
	ignored     *ignored.List
	seen        *trace.Seen
	closed      atomic.Bool // nothing new is taken
}

// New returns a pipeline for messages on topics that mappings read. What waits for Kafka takes of share.
func New(cfg kafka.Config, producer *producer.Producer, mappings *mapping.Set, ignored *ignored.List, seen *trace.Seen, share *budget.Share, log *slog.Logger, metrics prometheus.Registerer) *Pipeline {
	return &Pipeline{
		Metrics: newMetrics(metrics, func() float64 { return float64(share.Used()) }),
		Send:    func(mapping.Request) {},
		Now:     time.Now,

		producer: producer, topic: cfg.Topic, deadLetters: cfg.DeadLetterTopic(),
		mappings: mappings, ignored: ignored, seen: seen, share: share, log: log,
	}
}

// Message returns what is received at this moment.
func (p *Pipeline) Message(topic string, from Sender, payload []byte, retained bool) Message {
	m := Message{Topic: topic, Sender: from, Payload: payload, Retained: retained, Received: p.Now().UTC().Truncate(time.Millisecond)}
	m.route, m.known = p.mappings.Match(topic)
	return m
}

// Reserve takes of the budget what m needs, and reports whether it did. If not, room is closed when it is worth trying
// again.
func (p *Pipeline) Reserve(m Message) (room <-chan struct{}, ok bool) { return p.share.Take(m.cost()) }

// Cancel gives back what Reserve took for m.
func (p *Pipeline) Cancel(m Message) { p.share.Release(m.cost()) }

// Missed tells that a message on a topic is not handed to Handle, and will not be.
func (p *Pipeline) Missed(topic string) { p.mappings.Missed(topic) }

// MissedAny tells that any message may have been missed.
func (p *Pipeline) MissedAny() { p.mappings.MissedAny() }

// cost is what m takes while it is decoded: an estimate, since what it becomes is not known yet.
func (m *Message) cost() int {
	if m.Ignored() {
		return 0
	}
	return m.size() + min(deadLetterBytes+growth*len(m.Payload), stepBytes+windowBytes)
}

func (m *Message) size() int { return len(m.Topic) + len(m.Payload) }

// Handle produces m, for which Reserve was successful. It does not block, unless m becomes many records and MayBlock is
// set. done is called once: with nil when Kafka has all of m or m is no reading, and otherwise with an error, after
// which m may be redelivered.
func (p *Pipeline) Handle(m Message, done func(error)) {
	switch {
	case m.Ignored():
		p.Metrics.messages.FinishOne(Ignored)
		p.ignored.Message(m.Topic, m.Client, m.Payload)
		done(nil)
		return
	case p.closed.Load():
		p.Metrics.messages.FinishOne(Refused)
		p.Cancel(m)
		done(producer.ErrClosed)
		return
	}
	d := &delivery{Message: m, pipe: p, done: done, cost: m.cost(), from: event.NewSource(m.Topic, m.Client)}
	d.waiting.Store(1) // for the decoding
	dec := decodings.Get().(*decoding)
	dec.Start(m.route, mapping.Message{
		Payload: m.Payload, Received: m.Received, Retained: m.Retained, Ordered: true, May: m.May, Speaks: m.Speaks, Own: m.Own,
	})
	for dec.More() {
		dec.Next(&dec.result)
		d.produce(&dec.result, dec.More())
		for _, r := range dec.result.Requests {
			p.Send(r)
		}
		dec.result.Reset()
	}
	dec.Decoder = mapping.Decoder{}
	decodings.Put(dec)
	d.decoded()
}

// decoding is what it takes to decode a message.
type decoding struct {
	mapping.Decoder
	result mapping.Result // of a step
}

// decodings keeps the memory of those that are done.
var decodings = sync.Pool{New: func() any { return new(decoding) }}

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
