package event

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/accounting"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// Sink turns a consumer's batches of records into batches of readings. Its Handle is a kafka.Handler, and
// its Release belongs to it.
type Sink struct {
	// Store makes batch (never empty) durable, or returns an error for an outage. It does not keep
	// batch, whose memory is used again; the metrics and attributes in it may be kept.
	Store func(ctx context.Context, batch []iot.Reading) (Stored, error)
	// DeadLetter takes what can never be stored, and returns when it is durable. nil: such records
	// are passed over, since another group takes care of them.
	DeadLetter func(ctx context.Context, batch []DeadLetter) error
	// ReadingsOnly has DeadLetter take none of what is no reading, since another group takes care of it.
	ReadingsOnly bool
	// Account counts the readings and what became of them. See NewAccount.
	Account *accounting.Account

	mu sync.Mutex
	// open has the batches that are not resolved yet, by the address of their first record, which stays the same
	// until they are resolved or released.
	open    map[*kafka.Record]*progress
	buffers sync.Pool // of *progress; several partitions are handled at the same time
}

// Stored is what became of a batch.
type Stored struct {
	// Outcomes says how many readings became what, in the order of NewAccount's outcomes.
	Outcomes []int
	// Refused are the readings that can never be stored, ascending by their index.
	Refused []Refused
}

// Refused is a reading of a batch that can never be stored, and why, without its bytes.
type Refused struct {
	Index int
	iot.Rejection
}

// NewAccount counts the readings of a Sink, as telltale_<part>_readings. What Store can make of one is named by
// stored; a Sink adds "rejected", for what is no reading, and "released", for what another consumer gets.
func NewAccount(metrics prometheus.Registerer, part string, stored ...string) *accounting.Account {
	names := append([]string{"rejected", "released"}, stored...)
	return accounting.New(metrics, "telltale_"+part+"_readings", "Readings from Kafka, rejected ones included,", names...)
}

// progress is how far a batch is: its current slice, and what became of that until now.
type progress struct {
	slice
	isOpen   bool // the slice is not resolved
	stored   Stored
	isStored bool
	sent     int // of the slice's dead letters
}

// sendAtOnce is how many dead letters are on their way to Kafka at the same time, from one batch: with what that
// needs, each takes about 1 KiB.
const sendAtOnce = 1000

// Handle decodes batch, stores its readings, and sends what is rejected or refused to the dead-letter topic, one slice
// after the other. It returns nil when all of that is durable. Called again with the batch after an error, it goes on
// at what failed. A slice's dead letters go last, so that an outage of the store does not
// repeat them.
func (s *Sink) Handle(ctx context.Context, batch []kafka.Record) error {
	p := s.begin(batch)
	for p.isOpen || p.more() {
		if !p.isOpen {
			p.fill(s.DeadLetter != nil && !s.ReadingsOnly)
			p.isOpen, p.stored, p.isStored, p.sent = true, Stored{}, false, 0
			s.Account.Receive(p.taken())
		}
		if err := s.resolve(ctx, p); err != nil {
			return err
		}
		s.Account.Finish(p.taken(), append([]int{p.rejections, 0}, p.stored.Outcomes...)...)
		p.isOpen = false
	}
	s.end(batch, p)
	return nil
}

// resolve makes p's slice durable.
func (s *Sink) resolve(ctx context.Context, p *progress) error {
	if len(p.readings) > 0 && !p.isStored {
		stored, err := s.Store(ctx, p.readings)
		if err != nil {
			return err
		}
		p.stored, p.isStored = stored, true
		if s.DeadLetter != nil {
			p.addRefused(stored.Refused)
		}
	}
	for p.sent < len(p.deadLetters) {
		n := min(p.sent+sendAtOnce, len(p.deadLetters))
		if err := s.DeadLetter(ctx, p.deadLetters[p.sent:n]); err != nil {
			return fmt.Errorf("send dead letters: %w", err)
		}
		p.sent = n
	}
	return nil
}

// Release forgets a batch that Handle failed on and does not get again.
func (s *Sink) Release(batch []kafka.Record) {
	p := s.begin(batch)
	if p.isOpen {
		s.Account.Finish(p.taken(), 0, p.taken())
	}
	s.end(batch, p)
}

// begin returns what an earlier attempt has left of batch.
func (s *Sink) begin(batch []kafka.Record) *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.open[&batch[0]]
	if p != nil {
		return p
	}
	if p, _ = s.buffers.Get().(*progress); p == nil {
		p = new(progress)
	}
	p.batch = batch
	if s.open == nil {
		s.open = map[*kafka.Record]*progress{}
	}
	s.open[&batch[0]] = p
	return p
}

// end gives p's memory back, without what it refers to.
func (s *Sink) end(batch []kafka.Record, p *progress) {
	s.mu.Lock()
	delete(s.open, &batch[0])
	s.mu.Unlock()
	p.clear()
	*p = progress{slice: slice{readings: p.readings, records: p.records, deadLetters: p.deadLetters, rejected: p.rejected}}
	s.buffers.Put(p)
}

// TooLarge is the rejection of b, with a reading in it of which the record is larger than Kafka takes.
func TooLarge(device iot.DeviceID, b []byte) iot.Rejection {
	return iot.Rejection{
		Reason: iot.ReasonTooLarge, Detail: "the record of a reading in it is larger than Kafka takes", Device: device, Bytes: b,
	}
}

// Conflict is the rejection, without its bytes, of a reading that cannot be merged into the one that is stored: that has
// other values, or together they would be more than a reading may have.
func Conflict(r iot.Reading) iot.Rejection {
	return iot.Rejection{
		Reason: iot.ReasonConflict,
		Detail: "other values are stored for " + r.At.Format(timeFormat) + ", or too many",
		Device: r.Device,
	}
}

// NotAllowed is the rejection, without its bytes, of a reading of a device that its sender may not send for.
func NotAllowed(r iot.Reading) iot.Rejection {
	name := r.Device.String()
	if r.Key != "" {
		name = fmt.Sprintf("%.32q", r.Key)
	}
	return iot.Rejection{Reason: iot.ReasonDeviceNotAllowed, Detail: "its sender may not send for device " + name, Device: r.Device}
}

// TooOld is the rejection, without its bytes, of a reading of a time of which none are kept any more: nobody can tell
// whether it was stored before.
func TooOld(r iot.Reading) iot.Rejection {
	return iot.Rejection{
		Reason: iot.ReasonTooOld,
		Detail: "readings of " + r.At.Format(timeFormat) + " are not kept any more (RETENTION_READINGS, DATA_MAX_BYTES)",
		Device: r.Device,
	}
}
