package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// maxTopics bounds the topics in the counts of dead letters: of each, one is looked at.
const maxTopics = 20

// deadLetterStats is the answer of getDeadLetterStats.
type deadLetterStats struct {
	Total    int64         `json:"total"`
	Replayed int64         `json:"replayed"`
	Reasons  []reasonCount `json:"by_reason"`
	Topics   []topicCount  `json:"by_topic"`
}

type reasonCount struct {
	Reason   iot.Reason `json:"reason"`
	Count    int64      `json:"count"`
	Replayed int64      `json:"replayed"`
}

// topicCount is the number of dead letters from the topics that a filter stands for, and what one of them looks like.
type topicCount struct {
	Topic     string  `json:"topic"`
	Count     int64   `json:"count"`
	Replayed  int64   `json:"replayed"`
	Example   string  `json:"example"`
	LooksLike *string `json:"looks_like"`
	Hint      *string `json:"hint"`
}

func (a *API) getDeadLetterStats(ctx context.Context, r *request) (*answer, error) {
	q := r.query.deadLetterQuery()
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := take(ctx, a.limits.deadLetterPages, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	counts, err := r.DeadLetters.CountDeadLetters(ctx, q)
	if err != nil {
		return nil, err
	}
	s := deadLetterStats{Reasons: make([]reasonCount, len(counts))}
	for i, n := range counts {
		s.Reasons[i] = reasonCount(n)
		s.Total += n.Count
		s.Replayed += n.Replayed
	}
	if s.Topics, err = a.countTopics(ctx, r, q); err != nil {
		return nil, err
	}
	return encodeAny(http.StatusOK, s)
}

// countTopics counts what q selects by topic: one line for those that a rule is for, the most frequent first.
func (a *API) countTopics(ctx context.Context, r *request, q iot.DeadLetterQuery) ([]topicCount, error) {
	sources, err := r.DeadLetters.CountDeadLetterSources(ctx, q)
	if err != nil {
		return nil, err
	}
	topics := []topicCount{}
	lines := map[string]int{} // of topics
	for _, n := range sources {
		topic := cmp.Or(a.Rules.FilterFor(n.Source), filterOf(n.Source))
		i, ok := lines[topic]
		if !ok {
			i = len(topics)
			lines[topic] = i
			topics = append(topics, topicCount{Topic: topic, Example: n.Newest.String()})
		}
		topics[i].Count += n.Count
		topics[i].Replayed += n.Replayed
	}
	slices.SortStableFunc(topics, func(a, b topicCount) int { return cmp.Compare(b.Count, a.Count) })
	topics = topics[:min(len(topics), maxTopics)]
	for i := range topics {
		if err := a.explain(ctx, r, &topics[i]); err != nil {
			return nil, err
		}
	}
	return topics, nil
}

// filterOf returns a topic that no rule is for with a + for each level that has a digit: it is the name of one of many.
func filterOf(topic string) string {
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		if strings.ContainsAny(level, "0123456789") {
			levels[i] = "+"
		}
	}
	return strings.Join(levels, "/")
}

// explain says what the example of n looks like, and what to do about it.
func (a *API) explain(ctx context.Context, r *request, n *topicCount) error {
	id, _ := iot.ParseDeadLetterID(n.Example) // which it was made of
	d, err := r.DeadLetters.DeadLetter(ctx, id)
	if errors.Is(err, iot.ErrNotFound) || err == nil && (d.ContentType != "" || a.Replayer.OfRecord(d)) {
		return nil // it is gone, or no device sent it
	}
	if err != nil {
		return err
	}
	m := mapping.Message{Payload: d.Bytes, Received: d.Received, Retained: d.Retained}
	switch e := a.Rules.Explain(d.Source, m); {
	case len(e.Readings) > 0:
		n.LooksLike = e.Rule
		n.Hint = new(fmt.Sprintf("The rule %s reads it now: replay it.", *e.Rule))
	default:
		n.LooksLike, n.Hint = a.likeness(d.Source, m)
	}
	return nil
}

// likeness says which preset or form m is of, which the rules do not read.
func (a *API) likeness(topic string, m mapping.Message) (name, hint *string) {
	if preset := mapping.LooksLike(topic, m); preset != "" {
		return &preset, new(fmt.Sprintf("The preset %s reads it: name it in MAPPINGS, before other rules for the topic, then replay it.", preset))
	}
	if form := mapping.FormOf(m); form != "" {
		return &form, new(fmt.Sprintf("It is of the form %s: write a rule for the topic with that form, then replay it.", form))
	}
	return nil, nil
}
