package bridge

import (
	"errors"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// message is an MQTT PUBLISH on its way to Kafka.
type message struct {
	pipe     *pipeline
	line     *line // the session it is of
	topic    string
	device   string // the device id that the topic names, or ""
	payload  []byte // its own; kept until Kafka has answered
	received time.Time
	hash     uint64 // of topic and payload
	cost     int    // what it takes of pipe.inFlight
	id       uint16 // 0 at QoS 0
	qos      byte
	retained bool

	records int          // one for each reading, rejected ones included
	waiting atomic.Int32 // records that Kafka has not answered for

	// What became of records. Each is counted by itself, none is told from the others: so a record that
	// is forgotten, or counted twice, shows in the balance (see package tally).
	produced atomic.Int32          // readings that are in Kafka
	dead     atomic.Int32          // readings that are dead letters
	failed   atomic.Int32          // readings that are neither
	failure  atomic.Pointer[error] // why one of them is neither

	state  state // guarded by line.mu
	queued bool  // it is in line.queue; guarded by line.mu
}

// state is how far a message is.
type state byte

const (
	underWay state = iota
	settled        // Kafka has all of it, or it is none of ours: to be acknowledged
	lost           // some of it will never be in Kafka: not to be acknowledged, and welcome again
)

var hashSeed = maphash.MakeSeed()

// contentHash tells the content of a message from that of others with the same packet id.
func contentHash(topic string, payload []byte) uint64 {
	return maphash.String(hashSeed, topic)*31 + maphash.Bytes(hashSeed, payload)
}

// readingDone is told by the producer what became of one of m's readings.
func (m *message) readingDone(err error) {
	if errors.Is(err, kafka.ErrTooLarge) {
		m.pipe.reject(m, iot.Rejection{
			Reason: iot.ReasonTooLarge,
			Detail: "the record of a reading in it is larger than Kafka takes",
			Bytes:  m.payload,
		})
		return
	}
	m.recordDone(&m.produced, err)
}

// recordDone counts a record of m as answered for: as kept, or as failed after an error. With the last one
// m is done.
func (m *message) recordDone(kept *atomic.Int32, err error) {
	if err == nil {
		kept.Add(1)
	} else {
		m.failed.Add(1)
		m.failure.Store(&err)
	}
	if m.waiting.Add(-1) == 0 {
		m.done()
	}
}

// done lets m be acknowledged, unless it failed, and gives back what it took.
func (m *message) done() {
	defer m.pipe.inFlight.release(m.cost) // at last: nothing in flight means that all is acknowledged
	m.pipe.metrics.readings.Settle(m.records, int(m.produced.Load()), int(m.dead.Load()), int(m.failed.Load()))
	failure := m.failure.Load()
	if failure == nil {
		m.pipe.metrics.messages.SettleOne(messageHandled)
		m.pipe.metrics.ackSeconds.Observe(time.Since(m.received).Seconds())
		m.line.settle(m, settled)
		return
	}
	m.pipe.metrics.messages.SettleOne(messageFailed)
	m.line.settle(m, lost)
	// When the producer has ended the bridge ends too, and has others to acknowledge before.
	if !errors.Is(*failure, kafka.ErrClosed) && m.line.drop() {
		m.pipe.log.Error("kafka refuses a record; the connection is closed so that the message comes again", "err", *failure)
	}
}
