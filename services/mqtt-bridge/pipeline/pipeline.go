package pipeline

import (
	"bytes"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/payload"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/budget"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/lograte"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/stamp"
)

const (
	// readingBytes and letterBytes are about what a reading and a dead letter take beside the payload that
	// they came in, until Kafka has them.
	readingBytes = 512
	letterBytes  = 1024
	// maxRecords is how many a message becomes at most: package payload rejects longer batches.
	maxRecords = 10_000
	// batchWindow is how many records of one batch are on their way to Kafka at a time, where its source may
	// be kept waiting: so that batches do not keep the readings of others waiting, nor take memory for all
	// that they become.
	batchWindow = 256
	// drainTime is how long Kafka's answers are waited for when the bridge is told to stop.
	drainTime = 5 * time.Second
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
	// Patient says that Handle may block, for as long as Kafka takes. Set it before the first message.
	Patient bool
	// Now is the clock. A test may set another one before the first message.
	Now func() time.Time

	producer    *kafka.Producer
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
func New(cfg kafka.Config, producer *kafka.Producer, filters Filters, share *budget.Share, log *slog.Logger, metrics prometheus.Registerer) *Pipeline {
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

// Reads reports whether topic is one of readings. What else there is need not keep its payload.
func (p *Pipeline) Reads(topic string) bool {
	_, ok := p.filters.match(topic)
	return ok
}

// Reserve takes of the budget what m needs, and returns nil. Where there is no room it takes nothing, and
// returns what is closed when it is worth trying again.
func (p *Pipeline) Reserve(m Message) (room <-chan struct{}) { return p.share.Take(p.cost(m)) }

// Cancel gives back what Reserve took for m.
func (p *Pipeline) Cancel(m Message) { p.share.Release(p.cost(m)) }

// cost is what m takes while it is decoded: of a batch nobody knows yet how many records it becomes.
func (p *Pipeline) cost(m Message) int {
	if !p.Reads(m.Topic) {
		return 0
	}
	size := len(m.Topic) + len(m.Payload)
	if m.isBatch() {
		return size + letterBytes*min(bytes.Count(m.Payload, []byte{','})+1, p.most())
	}
	return size + readingBytes
}

func (m Message) isBatch() bool {
	text := bytes.TrimLeft(m.Payload, " \t\r\n")
	return len(text) > 0 && text[0] == '['
}

// most is how many records of a message are on their way to Kafka at a time.
func (p *Pipeline) most() int {
	if p.Patient {
		return batchWindow
	}
	return maxRecords
}

// Handle sends m, for which Reserve was successful, on its way. It does not block, unless m is a long batch and
// the pipeline Patient. done is called once: with nil when Kafka has all of m or m is no reading, and otherwise
// with an error, after which m is welcome again.
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
		done(kafka.ErrClosed)
		return
	}
	f := &flight{Message: m, pipe: p, device: device, done: done, cost: p.cost(m)}
	f.waiting.Store(1) // for the decoding
	if p.Patient && m.isBatch() {
		f.window = budget.NewShare(batchWindow)
	}
	var (
		decoder  payload.Decoder
		one      [1]iot.Reading
		readings = one[:0]
		rejected []iot.Rejection
		inKafka  = f.readingDone
	)
	decoder.Start(payload.Message{DeviceID: device, Payload: m.Payload, Received: m.Received, Retained: m.Retained})
	for decoder.More() {
		readings, rejected = decoder.Next(readings[:0], rejected[:0])
		f.add(len(readings), len(rejected))
		for _, r := range readings {
			p.stamps.Stamp(&r)
			f.wait()
			p.producer.Produce(event.Record(p.topic, r), inKafka)
		}
		for _, r := range rejected {
			f.wait()
			f.reject(r)
		}
	}
	f.decoded()
}

// Drain takes nothing new, and waits until Kafka has answered for everything that was taken and it is
// acknowledged, at most drainTime.
func (p *Pipeline) Drain() {
	p.closed.Store(true)
	deadline := time.After(drainTime)
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

// flight is a message on its way to Kafka.
type flight struct {
	Message
	pipe   *Pipeline
	device string // the device id that the topic names, or ""
	done   func(error)
	cost   int // what it takes of the budget

	window  *budget.Share // of records on their way; nil is any number
	records int           // one for each reading, rejected ones included
	bytes   int           // that these take
	waiting atomic.Int32  // records that Kafka has not answered for

	// What became of records. Each is counted by itself, none is told from the others: so a record that
	// is forgotten, or counted twice, shows in the balance (see package accounting).
	produced atomic.Int32          // readings that are in Kafka
	dead     atomic.Int32          // readings that are dead letters
	failed   atomic.Int32          // readings that are neither
	failure  atomic.Pointer[error] // why one of them is neither
}

// add says that f becomes that many more records.
func (f *flight) add(readings, letters int) {
	n := readings + letters
	f.records += n
	f.bytes += readings*readingBytes + letters*letterBytes
	f.waiting.Add(int32(n))
	f.pipe.Metrics.readings.Receive(n)
}

// wait waits until one more record may be on its way.
func (f *flight) wait() {
	if f.window == nil {
		return
	}
	for room := f.window.Take(1); room != nil; room = f.window.Take(1) {
		<-room // Kafka answers, or the producer ends
	}
}

// decoded says that f becomes no more records. Now it shows what it takes.
func (f *flight) decoded() {
	if more := len(f.Topic) + len(f.Payload) + min(f.bytes, letterBytes*f.pipe.most()) - f.cost; more != 0 {
		f.cost += more
		f.pipe.share.Add(more)
	}
	if f.waiting.Add(-1) == 0 {
		f.finish()
	}
}

// readingDone is told by the producer what became of one of f's readings.
func (f *flight) readingDone(err error) {
	if errors.Is(err, kafka.ErrTooLarge) {
		f.reject(iot.Rejection{
			Reason: iot.ReasonTooLarge,
			Detail: "the record of a reading in it is larger than Kafka takes",
			Bytes:  f.Payload,
		})
		return
	}
	f.recordDone(&f.produced, err)
}

// reject sends r, which is all or a part of f, to the dead-letter topic.
func (f *flight) reject(r iot.Rejection) {
	letter := event.DeadLetter{DeadLetter: iot.DeadLetter{
		Rejection: r, Source: f.Topic, Received: f.Received, TopicDevice: f.device, Retained: f.Retained,
	}}
	letter.Produce(f.pipe.producer, f.pipe.deadLetters, func(err error) {
		if err == nil {
			f.pipe.Metrics.deadLetters.WithLabelValues(string(r.Reason)).Inc()
		}
		f.recordDone(&f.dead, err)
	})
}

// recordDone counts a record of f as answered for: as kept, or as failed after an error. With the last one
// f is finished.
func (f *flight) recordDone(kept *atomic.Int32, err error) {
	if err == nil {
		kept.Add(1)
	} else {
		f.failed.Add(1)
		f.failure.Store(&err)
	}
	if f.window != nil {
		f.window.Release(1)
	}
	if f.waiting.Add(-1) == 0 {
		f.finish()
	}
}

// finish tells what became of f, and gives back what it took.
func (f *flight) finish() {
	defer f.pipe.share.Release(f.cost) // at last: nothing in flight means that all is acknowledged
	m := f.pipe.Metrics
	m.readings.Finish(f.records, int(f.produced.Load()), int(f.dead.Load()), int(f.failed.Load()))
	failure := f.failure.Load()
	if failure == nil {
		m.messages.FinishOne(Handled)
		m.ackSeconds.Observe(f.pipe.Now().Sub(f.Received).Seconds())
		f.done(nil)
		return
	}
	m.messages.FinishOne(Failed)
	if !errors.Is(*failure, kafka.ErrClosed) { // then the bridge ends anyway
		f.pipe.log.Error("kafka refuses a record; the message is not acknowledged, and its connection closed", "err", *failure)
	}
	f.done(*failure)
}
