// Package ignored keeps what becomes no part of a reading, for people who look for it: topics that nobody reads, and
// members that readings are kept without. It tells Kafka's topic of that, a record for each at most once a minute, from
// which query-api shows them; the log has a line with each record of a topic.
//
// It is a help, and nothing waits for it (package compacted). What is ignored more rarely than others is forgotten, and
// counted anew; so is all when the process starts.
package ignored

import (
	"cmp"
	"container/list"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/pkg/compacted"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

const (
	// maxEntries is how many topics and members are kept: as many as the API shows.
	maxEntries = 200
	// maxText bounds a topic and a client id, which may have 64 kB.
	maxText = 512
	// maxExample bounds what is kept of a message: enough to make a rule from.
	maxExample = 512
	// tellEvery is how far apart records of the same are, and perTick how many there are each second, so that no more than
	// 200 a minute are made of whatever strangers publish.
	tellEvery = time.Minute
	perTick   = 3
)

// List is what is ignored. It is safe for concurrent use.
type List struct {
	topic   string
	replica string
	hint    func(topic string) string
	log     *slog.Logger
	teller  *compacted.Teller

	mu      sync.Mutex
	entries map[key]*list.Element
	recent  list.List // of *entry, the latest in front
}

type key struct{ topic, member string }

// entry is a topic that nobody reads, or a member that readings of a topic are kept without.
type entry struct {
	event.Ignored
	told int64     // of its count
	next time.Time // when it may be told again
}

// New returns a list. replica names the process among others, and hint says what may be wrong with a topic.
func New(cfg kafka.Config, replica string, hint func(topic string) string, log *slog.Logger) *List {
	l := &List{topic: cfg.IgnoredTopic(), replica: replica, hint: hint, log: log, entries: make(map[key]*list.Element)}
	l.teller = compacted.NewTeller(cfg, "what is ignored", l.due, log)
	return l
}

// Message adds a message on a topic that nobody reads.
func (l *List) Message(topic, client string, payload []byte) {
	l.add(topic, "", client, shown(payload, maxExample), "")
}

// Member adds a member that a reading of a topic is kept without.
func (l *List) Member(topic, client string, o iot.Omitted) {
	member := o.Member
	if member == "" {
		member = `""` // and is no topic as a whole
	}
	l.add(topic, member, client, o.Example, o.Why)
}

func (l *List) add(topic, member, client, example, hint string) {
	topic = shown(topic, maxText)
	l.mu.Lock()
	defer l.mu.Unlock()
	k := key{topic, member}
	at := l.entries[k]
	if at == nil {
		if len(l.entries) == maxEntries {
			oldest := l.recent.Remove(l.recent.Back()).(*entry)
			delete(l.entries, key{oldest.Topic, oldest.Member})
		}
		at = l.recent.PushFront(&entry{Ignored: event.Ignored{Topic: topic, Member: member, Replica: l.replica}})
		l.entries[k] = at
	} else {
		l.recent.MoveToFront(at)
	}
	e := at.Value.(*entry)
	e.Count++
	e.ClientID, e.Last, e.Example, e.Hint = shown(client, maxText), time.Now().UTC().Truncate(time.Millisecond), example, hint
	l.teller.Wake()
}

// Run tells of what is ignored until ctx ends.
func (l *List) Run(ctx context.Context) error { return l.teller.Run(ctx) }

// due returns the records to produce now, and whether there is more to tell of, now or later.
func (l *List) due(now time.Time) (records []kafka.Record, more bool) {
	reports, more := l.reports(now)
	for _, r := range reports {
		if r.Member == "" {
			r.Hint = l.hint(r.Topic)
			l.log.Warn("messages are ignored: nobody reads their topic", "topic", r.Topic, "client_id", r.ClientID, "count", r.since, "hint", r.Hint)
		}
		if rec, err := r.Record(l.topic); err == nil { // texts and numbers always have one
			records = append(records, rec)
		}
	}
	return records, more
}

// report is what is told of an entry.
type report struct {
	event.Ignored
	since int64 // of its count, those since the last one
}

// reports returns what to tell now, that which has waited longest first, and whether there is more to tell of.
func (l *List) reports(now time.Time) (reports []report, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var due []*entry
	waiting := 0
	for at := l.recent.Back(); at != nil; at = at.Prev() {
		if e := at.Value.(*entry); e.told < e.Count {
			waiting++
			if !now.Before(e.next) {
				due = append(due, e)
			}
		}
	}
	slices.SortStableFunc(due, func(a, b *entry) int { return cmp.Or(a.next.Compare(b.next), a.Last.Compare(b.Last)) })
	for _, e := range due[:min(len(due), perTick)] {
		reports = append(reports, report{e.Ignored, e.Count - e.told})
		e.told, e.next = e.Count, now.Add(tellEvery)
	}
	return reports, waiting > len(reports)
}

// shown returns the beginning of a text, for people.
func shown[T string | []byte](text T, most int) string {
	return strings.ToValidUTF8(string(text[:min(len(text), most)]), "")
}
