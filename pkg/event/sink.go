package event

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/payload"
)

// Sink turns a consumer's batches of records into batches of readings. Its Handle is a kafka.Handler.
type Sink struct {
	// Store makes batch (never empty) durable. It returns ascending indexes of readings that can never
	// be stored because the place is taken (conflicts), or an error for an outage. It does not keep
	// batch, whose memory is used again; the metrics and attributes in it may be kept.
	Store func(ctx context.Context, batch []iot.Reading) (conflicts []int, err error)
	// DeadLetter takes what can never be stored, and returns when it is durable. nil: such records
	// are passed over, since another group takes care of them.
	DeadLetter func(ctx context.Context, letters []DeadLetter) error
	// Resolved is told, after each batch that is done, how many readings (conflicts among them) and how
	// many rejections it held. May be nil.
	Resolved func(readings, rejections int)

	buffers sync.Pool // of *decoded; several partitions are handled at the same time
}

// decoded is a batch of records as readings.
type decoded struct {
	readings   []iot.Reading
	records    []int // beside each reading, the index of its record in the batch
	letters    []DeadLetter
	rejections int
}

// Handle decodes batch, stores its readings, sends rejections and conflicts to the dead-letter topic, and
// returns nil when all of that is durable. Letters go last, so that an outage of the store, in which the
// same batch comes again and again, does not repeat them.
func (s *Sink) Handle(ctx context.Context, batch []kafka.Record) error {
	d, _ := s.buffers.Get().(*decoded)
	if d == nil {
		d = new(decoded)
	}
	defer s.release(d)

	d.decode(batch)
	if len(d.readings) > 0 {
		conflicts, err := s.Store(ctx, d.readings)
		if err != nil {
			return err
		}
		d.addConflicts(batch, conflicts)
	}
	if len(d.letters) > 0 && s.DeadLetter != nil {
		if err := s.DeadLetter(ctx, d.letters); err != nil {
			return fmt.Errorf("send dead letters: %w", err)
		}
	}
	if s.Resolved != nil {
		s.Resolved(len(d.readings), d.rejections)
	}
	return nil
}

// release gives d's memory back, without what it refers to.
func (s *Sink) release(d *decoded) {
	clear(d.readings)
	clear(d.letters)
	d.readings, d.records, d.letters, d.rejections = d.readings[:0], d.records[:0], d.letters[:0], 0
	s.buffers.Put(d)
}

func (d *decoded) decode(batch []kafka.Record) {
	for i := range batch {
		rec := &batch[i]
		var rejected []iot.Rejection
		d.readings, rejected = Decode(rec, d.readings)
		for len(d.records) < len(d.readings) {
			d.records = append(d.records, i)
		}
		for _, r := range rejected {
			d.letters = append(d.letters, letter(rec, r))
		}
		d.rejections += len(rejected)
	}
}

// addConflicts adds the letters for readings that cannot be stored; their indexes ascend.
func (d *decoded) addConflicts(batch []kafka.Record, conflicts []int) {
	record, first := -1, 0
	var parts [][]byte // of the record, one for each of its readings, which begin at first
	for _, i := range conflicts {
		if d.records[i] != record {
			record = d.records[i]
			first, _ = slices.BinarySearch(d.records, record)
			parts = readingParts(&batch[record])
		}
		rejection := Conflict(d.readings[i])
		rejection.Bytes = parts[i-first]
		d.letters = append(d.letters, letter(&batch[record], rejection))
	}
}

// Conflict is the rejection, without its bytes, of a reading whose place is taken by another.
func Conflict(r iot.Reading) iot.Rejection {
	return iot.Rejection{
		Reason: iot.ReasonConflict,
		Detail: "other values are stored for " + r.At.Format(timeFormat),
		Device: r.Device,
	}
}

// readingParts returns the part of rec's value behind each of its readings: a legacy record can hold a
// batch, and then the neighbours of a dead letter are none.
func readingParts(rec *kafka.Record) [][]byte {
	if mediaType(rec.Header(headerContentType)) == typeProtobuf {
		return [][]byte{rec.Value}
	}
	var parts [][]byte
	for _, object := range payload.Objects(rec.Value) {
		if readings, _ := payload.Decode(message(rec, object), nil); len(readings) > 0 {
			parts = append(parts, object)
		}
	}
	return parts
}

func letter(rec *kafka.Record, r iot.Rejection) DeadLetter {
	return DeadLetter{
		DeadLetter: iot.DeadLetter{
			Rejection:   r,
			Source:      fmt.Sprintf("%s/%d/%d", rec.Topic, rec.Partition, rec.Offset),
			Received:    received(rec),
			ContentType: string(rec.Header(headerContentType)),
		},
		Key: rec.Key,
	}
}
