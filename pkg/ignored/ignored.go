// Package ignored keeps what becomes no part of a reading, for people who look for it: topics that nobody reads, and
// members that readings are kept without. It tells Kafka's topic of that, a record for each at most once a minute, from
// which query-api shows them; the log has a line with each record of a topic.
//
// It is a help, and nothing waits for it. While Kafka is away, records of what is known are as many as are kept: the last
// 200. What is ignored more rarely than others is forgotten, and counted anew; so is all when the process starts.
package ignored

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/lograte"
)

const (
	// maxEntries is how many topics and members are kept: as many as the API shows.
	maxEntries = 200
	// maxText bounds a topic and a client id, which may have 64 kB.
	maxText = 512
	// tellEvery is how far apart records of the same are, and perTick how many there are each second, so that no more than
	// 200 a minute are made of whatever strangers publish.
	tellEvery = time.Minute
	tick      = time.Second
	perTick   = 3
)

// List is what is ignored. It is safe for concurrent use.
type List struct {
	cfg     kafka.Config
	replica string
	hint    func(topic string) string
	log     *slog.Logger
	wake    chan struct{} // has a value when there may be something to tell

	unanswered atomic.Int32 // records: Kafka may be away
	failures   lograte.Limiter

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
	return &List{
		cfg: cfg, replica: replica, hint: hint, log: log, wake: make(chan struct{}, 1), entries: make(map[key]*list.Element),
	}
}

// Message adds a message on a topic that nobody reads.
func (l *List) Message(topic, client string, payload []byte) {
	l.add(topic, "", client, shown(payload, iot.MaxShownBytes), "")
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
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Run tells of what is ignored until ctx ends.
func (l *List) Run(ctx context.Context) error {
	select {
	case <-l.wake: // before, there is nothing to ask of Kafka
	case <-ctx.Done():
		return nil
	}
	sender := producer.New(l.cfg, l.log, nil) // its own: readings do not wait for it, nor does the bridge's health
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sender.Run(ctx) })
	group.Go(func() error {
		for {
			wake, later := l.wake, (<-chan time.Time)(nil)
			if l.tell(sender) {
				wake, later = nil, time.After(tick)
			}
			select {
			case <-wake:
			case <-later:
			case <-ctx.Done():
				return nil
			}
		}
	})
	return group.Wait()
}

// tell tells of what is due, and reports whether there is more to tell of, now or later.
func (l *List) tell(sender *producer.Producer) (more bool) {
	due, more := l.due(time.Now())
	for _, d := range due {
		if d.Member == "" {
			d.Hint = l.hint(d.Topic)
			l.log.Warn("messages are ignored: nobody reads their topic", "topic", d.Topic, "client_id", d.ClientID, "count", d.since, "hint", d.Hint)
		}
		rec, err := d.Record(l.cfg.IgnoredTopic())
		if err == nil && l.unanswered.Load() < maxEntries {
			l.unanswered.Add(1)
			sender.Produce(rec, func(err error) {
				l.unanswered.Add(-1)
				l.failed(err)
			})
		}
		l.failed(err)
	}
	return more
}

func (l *List) failed(err error) {
	if err == nil || errors.Is(err, producer.ErrClosed) {
		return
	}
	if n := l.failures.Event(); n > 0 {
		l.log.Warn("what is ignored cannot be shown", "err", err, "count", n)
	}
}

// report is what is told of an entry.
type report struct {
	event.Ignored
	since int64 // of its count, those since the last one
}

// due returns what to tell now, that which has waited longest first, and whether there is more to tell of.
func (l *List) due(now time.Time) (reports []report, more bool) {
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
