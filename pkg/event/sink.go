package event

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/payload"
	"github.com/telltale-iot/telltale/pkg/tally"
)

// Sink turns a consumer's batches of records into batches of readings. Its Handle is a kafka.Handler, and
// its Release belongs to it.
type Sink struct {
	// Store makes batch (never empty) durable, or returns an error for an outage. It does not keep
	// batch, whose memory is used again; the metrics and attributes in it may be kept.
	Store func(ctx context.Context, batch []iot.Reading) (Stored, error)
	// DeadLetter takes what can never be stored, and returns when it is durable. nil: such records
	// are passed over, since another group takes care of them.
	DeadLetter func(ctx context.Context, letters []DeadLetter) error
	// Tally counts the readings and what became of them. See NewTally.
	Tally *tally.Tally

	mu sync.Mutex
	// open has the batches that are being handled, or will be once more, by their first record: a batch
	// stays where it is until it is resolved or released.
	open    map[*kafka.Record]*decoded
	buffers sync.Pool // of *decoded; several partitions are handled at the same time
}

// Stored is what became of a batch.
type Stored struct {
	// Outcomes says how many readings became what, in the order of NewTally's outcomes.
	Outcomes []int
	// Conflicts are ascending indexes of readings that can never be stored, because the place is taken.
	Conflicts []int
}

// NewTally counts the readings of a Sink, as telltale_<part>_readings. What Store can make of one is named by
// stored; a Sink adds "rejected", for what is no reading, and "released", for what another consumer gets.
func NewTally(metrics prometheus.Registerer, part string, stored ...string) *tally.Tally {
	names := append([]string{"rejected", "released"}, stored...)
	return tally.New(metrics, "telltale_"+part+"_readings", "Readings from Kafka, rejected ones included,", names...)
}

// decoded is a batch of records as readings.
type decoded struct {
	readings   []iot.Reading
	records    []int // beside each reading, the index of its record in the batch
	letters    []DeadLetter
	rejections int
	stored     Stored
	isStored   bool // in an earlier attempt, after which the letters failed
}

// taken is how many readings the batch holds, rejected ones included.
func (d *decoded) taken() int { return len(d.readings) + d.rejections }

// Handle decodes batch, stores its readings, sends rejections and conflicts to the dead-letter topic, and
// returns nil when all of that is durable. After an error it goes on, with the same batch, at what failed.
// Letters go last, so that an outage of the store does not repeat them.
func (s *Sink) Handle(ctx context.Context, batch []kafka.Record) error {
	d := s.begin(batch)
	if len(d.readings) > 0 && !d.isStored {
		stored, err := s.Store(ctx, d.readings)
		if err != nil {
			return err
		}
		d.stored, d.isStored = stored, true
		d.addConflicts(batch, stored.Conflicts)
	}
	if len(d.letters) > 0 && s.DeadLetter != nil {
		if err := s.DeadLetter(ctx, d.letters); err != nil {
			return fmt.Errorf("send dead letters: %w", err)
		}
	}
	s.end(batch, d, d.rejections, 0, d.stored.Outcomes...)
	return nil
}

// Release forgets a batch that Handle failed on and does not get again.
func (s *Sink) Release(batch []kafka.Record) {
	d := s.begin(batch)
	s.end(batch, d, 0, d.taken())
}

// begin returns batch decoded, as an earlier attempt may have left it.
func (s *Sink) begin(batch []kafka.Record) *decoded {
	s.mu.Lock()
	d := s.open[&batch[0]]
	s.mu.Unlock()
	if d != nil {
		return d
	}
	d, _ = s.buffers.Get().(*decoded)
	if d == nil {
		d = new(decoded)
	}
	d.decode(batch)
	s.Tally.Take(d.taken())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*kafka.Record]*decoded{}
	}
	s.open[&batch[0]] = d
	return d
}

// end counts what became of batch, and gives d's memory back, without what it refers to.
func (s *Sink) end(batch []kafka.Record, d *decoded, rejected, released int, stored ...int) {
	s.mu.Lock()
	delete(s.open, &batch[0])
	s.mu.Unlock()
	s.Tally.Settle(d.taken(), append([]int{rejected, released}, stored...)...)
	clear(d.readings)
	clear(d.letters)
	*d = decoded{readings: d.readings[:0], records: d.records[:0], letters: d.letters[:0]}
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
