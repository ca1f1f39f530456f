package live

import (
	"strconv"
	"strings"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// builder makes chunks of what is on the topics.
type builder struct {
	at     place              // behind all that it was given
	filter *Filter            // what it encodes
	full   func(*chunk) error // takes a chunk that is long enough

	chunk    *chunk // that is being made; nil while there is none
	decoder  event.Decoder
	readings []iot.Reading // of a step
	rejected []iot.Rejection
}

// newBuilder returns a builder for what comes behind at.
func newBuilder(at place, filter *Filter, full func(*chunk) error) *builder {
	return &builder{at: at.clone(), filter: filter, full: full}
}

// take returns the chunk that was being made, or nil.
func (b *builder) take() *chunk {
	c := b.chunk
	if c == nil {
		return nil
	}
	b.chunk = nil
	c.end = b.at.clone()
	return c.measure()
}

// begin begins a chunk, unless there is one.
func (b *builder) begin() {
	if b.chunk == nil {
		b.chunk = &chunk{start: b.at.clone()}
	}
}

// add adds what a record carries, but what was told of it.
func (b *builder) add(topic int, rec *kafka.Record) error {
	at := b.at.mark(topic, int(rec.Partition))
	if rec.Offset < at.next {
		return nil
	}
	var err error
	if topic == 0 {
		err = b.addReadings(rec, at)
	} else {
		err = b.addDeadLetter(topic, rec)
	}
	if err != nil {
		return err
	}
	if behind := (mark{next: rec.Offset + 1}); b.at.mark(topic, int(rec.Partition)) != behind { // as where it had no readings
		b.begin()
		b.at.set(topic, int(rec.Partition), behind)
	}
	return nil
}

// addReadings adds the readings of a record, which may be thousands, a step at a time.
func (b *builder) addReadings(rec *kafka.Record, at mark) error {
	var told int32 // of the record
	if rec.Offset == at.next {
		told = at.within
	}
	n := int32(0)
	for b.decoder.Start(rec); b.decoder.More(); {
		b.readings, b.rejected = b.decoder.Next(b.readings[:0], b.rejected[:0])
		for i := range b.readings {
			if n++; n <= told {
				continue
			}
			after := mark{next: rec.Offset, within: n}
			if i == len(b.readings)-1 && !b.decoder.More() {
				after = mark{next: rec.Offset + 1}
			}
			r := &b.readings[i]
			e := update{kind: kindReading, partition: rec.Partition, after: after, device: r.Device, metrics: r.Metrics}
			if err := b.append(e, func(dst []byte) []byte {
				return readingjson.AppendReceived(append(dst, readingHead...), *r)
			}); err != nil {
				return err
			}
		}
	}
	clear(b.readings)
	clear(b.rejected)
	return nil
}

func (b *builder) addDeadLetter(topic int, rec *kafka.Record) error {
	d := event.ReadDeadLetter(rec)
	e := update{kind: kindDeadLetter, topic: int8(topic), partition: rec.Partition, after: mark{next: rec.Offset + 1}, device: d.Device}
	return b.append(e, func(dst []byte) []byte { return appendDeadLetter(append(dst, deadLetterHead...), d) })
}

// addDevice adds that a device is as json says, and that the fingerprint of all is devices then.
func (b *builder) addDevice(id iot.DeviceID, json []byte, devices uint32) error {
	return b.append(update{kind: kindDevice, device: id, devices: devices}, func(dst []byte) []byte {
		return append(append(dst, deviceHead...), json...)
	})
}

// append adds an event, if it is selected, and hands over a chunk that is long enough.
func (b *builder) append(e update, text func([]byte) []byte) error {
	b.begin()
	if e.kind == kindDevice {
		b.at.devices = e.devices
	} else {
		b.at.set(int(e.topic), int(e.partition), e.after)
	}
	if !b.filter.selects(&e) {
		return nil
	}
	c := b.chunk
	c.data = append(text(c.data), '\n')
	e.id = len(c.data)
	c.data = appendID(c.data, b.at)
	e.end = len(c.data)
	c.events = append(c.events, e)
	if len(c.data) < chunkBytes {
		return nil
	}
	return b.full(b.take())
}

// appendDeadLetter appends d as clients are told of it.
func appendDeadLetter(dst []byte, d iot.DeadLetter) []byte {
	member := func(name, value string) {
		dst = append(dst, name...)
		dst = readingjson.AppendString(dst, strings.ToValidUTF8(value, "\uFFFD"))
	}
	member(`{"reason":`, string(d.Reason))
	member(`,"detail":`, d.Detail)
	member(`,"source":`, d.Source)
	if d.Device != 0 {
		dst = strconv.AppendInt(append(dst, `,"device_id":`...), int64(d.Device), 10)
	}
	if key := d.Key(); key != "" {
		member(`,"device_key":`, key)
	}
	dst = readingjson.AppendTime(append(dst, `,"received_at":"`...), d.Received)
	return append(dst, `"}`...)
}
