package simulator

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// publication is one message to publish.
type publication struct {
	topic   string
	payload []byte
	retain  bool
	due     time.Time // when it is to be sent; its latency counts from here
	ledger  bool      // it belongs in the ledger: neither junk nor a copy
}

// stream is what the devices of one connection publish, in order. It belongs to one goroutine.
type stream struct {
	cfg        Config
	connection int
	measuring  context.Context // no reading is measured once it has ended
	counters   *counters
	random     *rand.Rand
	start      time.Time
	interval   float64 // nanoseconds between two readings of the whole fleet; 0: no pace

	devices []device
	turn    int64     // the devices take turns: turn n belongs to device n % len(devices)
	due     time.Time // when this turn is
	delayed delayQueue
	ended   bool
}

func newStream(measuring context.Context, cfg Config, connection int, start time.Time, c *counters) *stream {
	s := &stream{cfg: cfg, connection: connection, measuring: measuring, counters: c, start: start,
		random: rand.New(rand.NewPCG(cfg.Seed, uint64(connection)))}
	families := cfg.families()
	for i := connection; i < cfg.Devices; i += cfg.Connections {
		s.devices = append(s.devices, newDevice(cfg.FirstDevice+iot.DeviceID(i), &families[i%len(families)]))
	}
	if cfg.Rate > 0 {
		s.interval = 1e9 / (cfg.Rate * float64(cfg.Devices))
	}
	s.schedule()
	return s
}

// index is the number of this turn's reading among those of the whole fleet, in which the devices take
// turns too.
func (s *stream) index() int64 {
	round, place := s.turn/int64(len(s.devices)), s.turn%int64(len(s.devices))
	return round*int64(s.cfg.Devices) + place*int64(s.cfg.Connections) + int64(s.connection)
}

// schedule sets when this turn is: at a random moment within the time slot of its reading, so that the
// fleet neither beats in step nor leaves its rate.
func (s *stream) schedule() {
	s.due = s.start.Add(time.Duration((float64(s.index()) + s.random.Float64()) * s.interval))
}

// next fills p, reusing the memory of its payload, and returns 0; or it returns how long there is nothing
// to publish. io.EOF: there is nothing any more.
func (s *stream) next(now time.Time, p *publication) (wait time.Duration, err error) {
	for {
		if !s.ended && (s.measuring.Err() != nil || s.cfg.Count > 0 && s.index() >= s.cfg.Count) {
			s.ended = true
		}
		if due, ok := s.delayed.due(); ok && (s.ended || !due.After(now)) {
			s.delayed.pop(p)
			return 0, nil
		}
		if s.ended {
			return 0, io.EOF
		}
		if s.interval == 0 {
			s.due = now
		}
		if wait := s.due.Sub(now); wait > 0 {
			if due, ok := s.delayed.due(); ok {
				wait = min(wait, due.Sub(now))
			}
			return wait, nil
		}
		d := &s.devices[s.turn%int64(len(s.devices))]
		// By the wall clock of now, which may have been set since the start.
		ms := d.stamp(now.Add(s.due.Sub(now)))
		if ahead := time.Duration(ms-now.UnixMilli()) * time.Millisecond; ahead > maxLead {
			return ahead - maxLead, nil
		}
		twice := s.publish(d, ms, p)
		s.turn++
		s.schedule()
		later := p.due.After(now)
		if later {
			s.delayed.push(*p)
		}
		if twice {
			repeat := *p
			repeat.ledger = false
			s.delayed.push(repeat)
		}
		if !later {
			return 0, nil
		}
	}
}

// publish fills p with what d makes of its reading of millisecond ms, and reports whether d sends it
// twice. Where p.due is later than this turn, d keeps it back until then.
func (s *stream) publish(d *device, ms int64, p *publication) (twice bool) {
	m := d.measure(ms, s.random)
	turn := d.turn
	d.turn = (turn + 1) % len(d.topics)
	p.topic, p.payload, p.retain, p.due, p.ledger = d.topics[turn], p.payload[:0], turn < d.family.retain, s.due, true

	switch {
	case s.happens(s.cfg.Junk, &s.counters.junk):
		p.ledger = false
		p.payload = append(p.payload, junk[s.random.IntN(len(junk))]...)
	case d.family.clock > 0 && s.happens(s.cfg.BadClock, &s.counters.badClock):
		m.ms = badClock(ms, s.random)
		fallthrough
	default:
		p.payload = d.family.message(p.payload, uint64(d.id), turn, m)
	}

	if !s.due.Before(d.silentUntil) && s.happens(s.cfg.Burst, &s.counters.bursts) {
		d.silentUntil = s.due.Add(delay)
	}
	if s.due.Before(d.silentUntil) {
		p.due = d.silentUntil
	}
	if s.happens(s.cfg.Late, &s.counters.late) {
		p.due = s.due.Add(delay)
	}
	return s.happens(s.cfg.Duplicate, &s.counters.duplicates)
}
