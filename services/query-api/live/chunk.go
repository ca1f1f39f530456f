package live

import (
	"github.com/telltale-iot/telltale/pkg/iot"
)

// chunk is a part of the stream that all clients have in common: events in the order of their places, encoded once. Nobody
// changes one that is whole.
type chunk struct {
	start, end place
	resync     bool   // it is one event, for everybody, whose end does not follow from its start
	data       []byte // the events as they are sent
	events     []update
	size       int // about what it takes in memory
}

// update is an event of a chunk.
type update struct {
	kind      kind
	topic     int8
	partition int32
	after     mark   // behind it in its partition
	devices   uint32 // the fingerprint behind the event of a device
	id, end   int    // where in data the line with its id begins, and where it ends
	device    iot.DeviceID
	metrics   []iot.Metric // of a reading
}

type kind int8

const (
	kindReading kind = iota
	kindDeadLetter
	kindDevice
)

// The first lines of events, up to their data.
const (
	readingHead    = "event: reading\ndata: "
	deadLetterHead = "event: dead_letter\ndata: "
	deviceHead     = "event: device\ndata: "
	resyncHead     = "event: resync\ndata: {}"
)

const (
	// chunkBytes is how long a chunk may be before it takes one more event, which is 8 KiB for most and 5 MiB at most.
	chunkBytes = 128 << 10
	// About what a chunk takes beside its text: itself, each mark of its places, each event, and each metric of a reading.
	bareBytes   = 200
	markBytes   = 16
	eventBytes  = 88
	metricBytes = 24
)

// measure sets the size of c, which is whole. A chunk without events has one, too: many records may have none.
func (c *chunk) measure() *chunk {
	c.size = bareBytes + len(c.data) + eventBytes*len(c.events)
	for topic := range topics {
		c.size += markBytes * (len(c.start.marks[topic]) + len(c.end.marks[topic]))
	}
	for i := range c.events {
		c.size += metricBytes * len(c.events[i].metrics)
	}
	return c
}

// appendID appends the last line of an event, and its end.
func appendID(dst []byte, p place) []byte {
	dst = append(dst, "id: "...)
	return append(p.append(dst), "\n\n"...)
}
