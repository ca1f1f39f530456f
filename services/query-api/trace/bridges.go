package trace

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/compacted"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

const (
	maxBytes       = 4 << 20
	maxConnections = 20 // of a device: a user may have thousands of clients
	maxSimilar     = 3
	freshFor       = time.Second // how long what was read last is new enough
)

// Bridges is what bridges saw. It is safe for concurrent use.
type Bridges struct {
	table *compacted.Table
}

// New returns what the topic of cfg says.
func New(cfg kafka.Config, log *slog.Logger) *Bridges {
	cfg.Topic = cfg.TraceTopic()
	return &Bridges{compacted.NewTable(compacted.Table{
		Topic: cfg, What: "what bridges saw", MaxBytes: maxBytes, MaxRecord: event.MaxSeenBytes, Reach: event.SeenFor, Log: log,
	})}
}

// Seen is what bridges saw of a device.
type Seen struct {
	Running     bool             // a bridge says that it runs
	Listens     bool             // one of those to which devices connect
	Last        event.SeenDevice // zero where none saw a message of it
	Connections []Connection     // those that are there first, and then the last one first
	Similar     []string         // topics that name others which are called almost the same
}

// Connection is one to a bridge.
type Connection struct {
	event.SeenClient
	Replica string
}

// Seen returns what bridges saw of a device, and of the clients with these ids.
func (b *Bridges) Seen(ctx context.Context, device Name, clients []string) (seen Seen, err error) {
	err = b.table.Rows(ctx, freshFor, func(rows map[string]compacted.Row) error {
		all := make([]told, 0, len(rows))
		now := time.Now()
		for _, row := range rows {
			if s, err := event.ReadSeen(row.Value); err == nil && now.Sub(row.At) < event.SeenFor { // others are other programs'
				all = append(all, told{s, row.At})
			}
		}
		seen = gather(all, now, device, clients)
		return nil
	})
	return seen, err
}

// told is what a bridge told, and when.
type told struct {
	event.Seen
	at time.Time
}

// gather returns what was seen of a device, by what was told until now.
func gather(all []told, now time.Time, device Name, clients []string) (seen Seen) {
	last := map[string]told{} // of each replica: by Kafka's clock, since its own may be set back
	for _, t := range all {
		if l := last[t.Replica]; cmp.Or(t.at.Compare(l.at), t.Started.Compare(l.Started)) > 0 {
			last[t.Replica] = t
		}
	}
	all = slices.DeleteFunc(all, func(t told) bool { return !t.Started.Equal(last[t.Replica].Started) })
	clients = slices.Clone(clients)
	for _, t := range all {
		if now.Sub(last[t.Replica].at) < event.SeenAlive {
			seen.Running = true
			seen.Listens = seen.Listens || t.Listens
		}
		for _, d := range t.Devices {
			if d.Device == device.ID {
				clients = append(clients, d.Clients...)
				if d.At.After(seen.Last.At) {
					seen.Last = d
				}
			}
		}
	}
	for _, t := range all {
		gone := now.Sub(last[t.Replica].at) >= event.SeenAlive
		for _, c := range t.Clients {
			its := device.is(c.ID) || device.is(c.User) || slices.Contains(clients, c.ID)
			if its && (!gone || !c.Until.IsZero()) { // else nobody knows whether it is there
				seen.Connections = append(seen.Connections, Connection{c, t.Replica})
			}
		}
	}
	slices.SortFunc(seen.Connections, func(a, b Connection) int {
		if a.Until.IsZero() != b.Until.IsZero() {
			return a.Until.Compare(b.Until)
		}
		return cmp.Or(b.Since.Compare(a.Since), cmp.Compare(a.ID, b.ID))
	})
	seen.Connections = seen.Connections[:min(len(seen.Connections), maxConnections)]
	if seen.Last.Device == 0 {
		seen.Similar = similar(all, device)
	}
	return seen
}

// similar returns topics of messages of others that are called almost as device is.
func similar(all []told, device Name) (topics []string) {
	for _, t := range all {
		for _, d := range t.Devices {
			if device.likeOneIn(d.Topic) {
				topics = append(topics, d.Topic)
			}
		}
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	return topics[:min(len(topics), maxSimilar)]
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
