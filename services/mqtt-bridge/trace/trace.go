package trace

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/compacted"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

const (
	parts = 64 // 1 << 6
	// maxBytes is what the devices, and what the clients, of a part take.
	maxBytes = 1 << 20 / parts
	// maxText bounds a topic and a client id, which may have 64 kB, and a user's name.
	maxText = 256
	// maxClients is how many of the clients that published for a device are kept: one, and those it takes turns with.
	maxClients = 3

	// How soon there is told of a part: what is new; that it went on; and all of it.
	newsAfter  = 2 * time.Second
	movedAfter = time.Minute
	againAfter = 10 * time.Minute
	// aliveEvery is how often the replica says that it runs.
	aliveEvery = event.SeenAlive / 3
	perTick    = 4 // records
)

// Seen is what the bridge saw. It is safe for concurrent use.
type Seen struct {
	topic   string
	replica string
	listens bool
	started time.Time
	teller  *compacted.Teller
	seed    maphash.Seed
	alive   time.Time // when it was told last that the replica runs
	parts   [parts]part
}

// New returns a Seen, for the topic of cfg. replica names the process among others, and listens is whether devices connect to it.
func New(cfg kafka.Config, replica string, listens bool, log *slog.Logger) *Seen {
	s := &Seen{topic: cfg.TraceTopic(), replica: replica, listens: listens, started: time.Now().UTC(), seed: maphash.MakeSeed()}
	s.teller = compacted.NewTeller(cfg, "what was seen of devices", s.due, log)
	for i := range s.parts {
		s.parts[i] = part{number: i + 1, devices: map[iot.DeviceID]*device{}, clients: map[string]*client{}}
	}
	return s
}

// Run tells of what is seen until ctx ends.
func (s *Seen) Run(ctx context.Context) error {
	s.teller.Wake()
	return s.teller.Run(ctx)
}

// due returns the records to produce now: there are always more to come.
func (s *Seen) due(now time.Time) (records []kafka.Record, more bool) {
	if s.teller.Full() {
		return nil, true
	}
	tell := func(seen event.Seen) {
		seen.Replica, seen.Listens, seen.Started = s.replica, s.listens, s.started
		if rec, err := seen.Record(s.topic); err == nil { // texts and times always have one
			records = append(records, rec)
		}
	}
	if now.Sub(s.alive) >= aliveEvery {
		s.alive = now
		tell(event.Seen{})
	}
	var due []*part
	for i := range s.parts {
		if p := &s.parts[i]; p.due(now) {
			due = append(due, p)
		}
	}
	slices.SortFunc(due, func(a, b *part) int { return a.waiting.Compare(b.waiting) })
	for _, p := range due[:min(len(due), perTick)] {
		tell(p.tell(now))
	}
	return records, true
}

// Device takes in what a message of a device became. said is the time that the device gave, in Unix ms, or 0.
func (s *Seen) Device(id iot.DeviceID, topic, client string, received time.Time, said int64, deadLetter bool) {
	s.parts[uint64(id)*fibonacci>>58].device(id, cut(topic), cut(client), received.UnixMilli(), said, deadLetter)
}

// Client is one that connected.
type Client struct {
	ID, User, Protocol string
	Address            net.Addr
	Since              time.Time
}

// Connected takes in that c has connected.
func (s *Seen) Connected(c Client) { s.client(c, time.Time{}, "") }

// Left takes in that the connection of c ended, and why it was refused; "" where it was not.
func (s *Seen) Left(c Client, why string) { s.client(c, time.Now(), why) }

// Limited takes in that c sends too much of what, and is slowed since a time; what is "" when that is over.
func (s *Seen) Limited(c Client, what string, since time.Time) {
	var limited *event.Limit
	if what != "" {
		limited = &event.Limit{What: what, Since: millis(since)}
	}
	s.parts[maphash.String(s.seed, c.ID)>>58].limit(c, limited)
}

func (s *Seen) client(c Client, until time.Time, why string) {
	s.parts[maphash.String(s.seed, c.ID)>>58].client(c, until, why)
}

const fibonacci = 0x9E3779B97F4A7C15 // has neighbouring ids be in different parts

// cut returns the part of a text that is kept.
func cut(text string) string { return text[:min(len(text), maxText)] }
