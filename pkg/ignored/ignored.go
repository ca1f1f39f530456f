// Package ignored keeps what becomes no part of a reading, for people who look for it: topics that nobody reads, and
// members that readings are kept without. It tells Kafka's topic of that, a record for each at most once a minute, from
// which query-api shows them; the log has a line with each record of a topic.
//
// It is a help, and nothing waits for it (package compacted). What is ignored more rarely than others is forgotten, and
// counted anew; so is all when the process starts.
package ignored

import (
	"context"
	"log/slog"
	"strings"
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
	tally   compacted.Tally[key, event.Ignored]
}

type key struct{ topic, member string }

// New returns a list. replica names the process among others, and hint says what may be wrong with a topic.
func New(cfg kafka.Config, replica string, hint func(topic string) string, log *slog.Logger) *List {
	l := &List{
		topic: cfg.IgnoredTopic(), replica: replica, hint: hint, log: log,
		tally: compacted.Tally[key, event.Ignored]{MaxKeys: maxEntries, Every: tellEvery, AtOnce: perTick},
	}
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
	l.tally.Add(key{topic, member}, func(_ bool, i *event.Ignored) {
		*i = event.Ignored{
			Topic: topic, Member: member, ClientID: shown(client, maxText), Replica: l.replica,
			Last: time.Now().UTC().Truncate(time.Millisecond), Example: example, Hint: hint,
		}
	})
	l.teller.Wake()
}

// Run tells of what is ignored until ctx ends.
func (l *List) Run(ctx context.Context) error { return l.teller.Run(ctx) }

// due returns the records to produce now, and whether there is more to tell of, now or later.
func (l *List) due(now time.Time) (records []kafka.Record, more bool) {
	told, more := l.tally.Due(now)
	for _, t := range told {
		i := t.What
		i.Count = t.Count
		if i.Member == "" {
			i.Hint = l.hint(i.Topic)
			l.log.Warn("messages are ignored: nobody reads their topic", "topic", i.Topic, "client_id", i.ClientID, "count", t.Since, "hint", i.Hint)
		}
		if rec, err := i.Record(l.topic); err == nil { // texts and numbers always have one
			records = append(records, rec)
		}
	}
	return records, more
}

// shown returns the beginning of a text, for people.
func shown[T string | []byte](text T, most int) string {
	return strings.ToValidUTF8(string(text[:min(len(text), most)]), "")
}
