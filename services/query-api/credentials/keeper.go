package credentials

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
)

const (
	// compareEvery is for how long the topic may differ from the database where nobody has noticed.
	compareEvery = time.Minute
	// compareAgain is when it is compared again after something failed or was repaired: others may have changed it
	// meanwhile.
	compareAgain = 2 * time.Second
	// publishTimeout is for how long a request waits until bridges can know of its change.
	publishTimeout = 2 * time.Second
	// makeTopicEvery is how many comparisons fail until the topic is made again: whoever deletes one to make it himself has
	// that long, as with other topics. makeTopicTimeout is for Kafka's being away, which is waited for elsewhere.
	makeTopicEvery   = 3
	makeTopicTimeout = 5 * time.Second
	// pageSize is how many credentials are read, and published, at once.
	pageSize = 1000
)

// Store is the database.
type Store interface {
	Credentials(ctx context.Context, q iot.CredentialQuery) ([]iot.Credential, error)
	Moved(ctx context.Context) (bool, error)
}

// Keeper keeps the topic. It is safe for concurrent use.
type Keeper struct {
	store    Store
	cfg      kafka.Config
	topic    string
	sender   *producer.Producer
	log      *slog.Logger
	wake     chan struct{} // has a value when the topic may differ from the database
	repaired *prometheus.CounterVec
}

// New returns a Keeper, which has sender write to cfg's topic of credentials what store has.
func New(store Store, cfg kafka.Config, sender *producer.Producer, log *slog.Logger, metrics prometheus.Registerer) *Keeper {
	return &Keeper{
		store: store, cfg: cfg, topic: cfg.CredentialsTopic(), sender: sender, log: log, wake: make(chan struct{}, 1),
		repaired: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_credentials_repaired_total",
			Help: "Records on the topic of credentials that were missing, or should not have been there.",
		}, []string{"change"}),
	}
}

// Publish tells bridges of c, which is committed. After an error they are told later, by Run.
func (k *Keeper) Publish(ctx context.Context, c iot.Credential) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	err := k.publish(ctx, c.ID-1, []iot.Credential{c})
	if err != nil {
		k.Wake()
	}
	return err
}

// End tells bridges that credentials do not let in any more: they are deleted, and that is committed. After an error
// they are told later, by Run.
func (k *Keeper) End(ctx context.Context, ids ...int64) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	for some := range slices.Chunk(ids, pageSize) {
		if err := k.end(ctx, some); err != nil {
			k.Wake()
			return err
		}
	}
	return nil
}

// Wake says that the topic may differ from the database. It does not block.
func (k *Keeper) Wake() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Run repairs the topic until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	for failures := 0; ; {
		wake, wait := k.wake, compareEvery
		changed, err := k.compare(ctx)
		if ctx.Err() != nil {
			return nil
		}
		k.report(changed, err, failures)
		if err != nil {
			failures++
			wake, wait = nil, compareAgain // it is known that there is something to do
		} else {
			failures = 0
			if changed != (changes{}) {
				wait = compareAgain
			}
		}
		if failures > 0 && failures%makeTopicEvery == 0 {
			k.makeTopic(ctx)
		}
		select {
		case <-wake:
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// makeTopic makes the topic, in case that it was deleted. Nobody else would: all others read it.
func (k *Keeper) makeTopic(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, makeTopicTimeout)
	defer cancel()
	if err := kafka.EnsureTopics(ctx, k.cfg, k.log); err != nil && ctx.Err() == nil {
		k.log.Warn("the topic of credentials cannot be made", "topic", k.topic, "err", err)
	}
}

// changes are what was repaired.
type changes struct{ published, ended, site int }

// report says what came of a comparison, before which so many others failed.
func (k *Keeper) report(c changes, err error, failures int) {
	k.repaired.WithLabelValues("published").Add(float64(c.published))
	k.repaired.WithLabelValues("ended").Add(float64(c.ended))
	k.repaired.WithLabelValues("site").Add(float64(c.site))
	switch {
	case err != nil && failures == 0:
		k.log.Warn("bridges may not know all credentials yet, trying again", "err", err)
	case err == nil && failures > 0:
		k.log.Info("bridges know all credentials again")
	}
	if c != (changes{}) {
		k.log.Info("repaired the topic of credentials", "topic", k.topic, "published", c.published, "ended", c.ended, "site", c.site)
	}
}

// compare makes the topic as the database is, and returns what it changed.
func (k *Keeper) compare(ctx context.Context) (changed changes, err error) {
	moved, err := k.store.Moved(ctx) // first: while the database is away there is no need to read the topic
	if err != nil {
		return changed, fmt.Errorf("ask the metadata store: %w", err)
	}
	said, err := k.readTopic(ctx)
	if err != nil {
		return changed, fmt.Errorf("read topic %q: %w", k.topic, err)
	}
	for after, more := int64(0), true; more; {
		page, err := k.store.Credentials(ctx, iot.CredentialQuery{After: after, Limit: pageSize})
		if err != nil {
			return changed, fmt.Errorf("ask the metadata store: %w", err)
		}
		var unsaid []iot.Credential
		for _, c := range page {
			if _, ok := said.ids[c.ID]; !ok {
				unsaid = append(unsaid, c)
			}
			delete(said.ids, c.ID)
		}
		if len(unsaid) > 0 {
			if err := k.publish(ctx, after, unsaid); err != nil {
				return changed, err
			}
			changed.published += len(unsaid)
		}
		if more = len(page) == pageSize; more {
			after = page[len(page)-1].ID
		}
	}
	gone := make([]int64, 0, len(said.ids))
	for id := range said.ids {
		gone = append(gone, id)
	}
	for ids := range slices.Chunk(gone, pageSize) {
		if err := k.end(ctx, ids); err != nil {
			return changed, err
		}
		changed.ended += len(ids)
	}
	// Last, so that bridges, which wait for it, know all credentials with it.
	if site := (event.Site{Moved: moved}); said.site == nil || *said.site != site {
		if err := k.send(ctx, []kafka.Record{event.SiteRecord(k.topic, site)}); err != nil {
			return changed, err
		}
		changed.site++
	}
	return changed, nil
}

// said is what the topic says.
type said struct {
	ids  map[int64]struct{} // of the credentials that let in
	site *event.Site        // nil: nothing
}

// readTopic reads all of the topic.
func (k *Keeper) readTopic(ctx context.Context) (said, error) {
	s := said{ids: map[int64]struct{}{}}
	cfg := k.cfg
	cfg.Topic = k.topic
	r := &kafka.RangeReader{Config: cfg, MaxBatch: pageSize, Log: k.log, Handle: func(_ context.Context, records []kafka.Record) error {
		for i := range records {
			change, err := event.DecodeAccess(&records[i])
			switch {
			case err != nil: // another program's, which says nothing
			case change.Credential != nil:
				s.ids[change.Credential.ID] = struct{}{}
			case change.Site != nil:
				s.site = change.Site
			default:
				delete(s.ids, change.Ended)
			}
		}
		return nil
	}}
	return s, r.Run(ctx)
}

// publish publishes credentials, which ascend and are above the id after, and ends those of them that were deleted meanwhile.
func (k *Keeper) publish(ctx context.Context, after int64, all []iot.Credential) error {
	records := make([]kafka.Record, len(all))
	for i, c := range all {
		records[i] = event.CredentialRecord(k.topic, c)
	}
	if err := k.send(ctx, records); err != nil {
		return err
	}
	left := map[int64]bool{}
	for last := all[len(all)-1].ID; after < last; {
		page, err := k.store.Credentials(ctx, iot.CredentialQuery{After: after, Limit: pageSize})
		if err != nil {
			return fmt.Errorf("ask the metadata store: %w", err)
		}
		for _, c := range page {
			left[c.ID] = true
		}
		if len(page) < pageSize {
			break
		}
		after = page[len(page)-1].ID
	}
	var gone []int64
	for _, c := range all {
		if !left[c.ID] {
			gone = append(gone, c.ID)
		}
	}
	return k.end(ctx, gone)
}

// end ends credentials on the topic.
func (k *Keeper) end(ctx context.Context, ids []int64) error {
	records := make([]kafka.Record, len(ids))
	for i, id := range ids {
		records[i] = event.CredentialEnd(k.topic, id)
	}
	return k.send(ctx, records)
}

// send returns when Kafka has records. It sends nothing where Kafka is known to be away, so that nothing piles up.
func (k *Keeper) send(ctx context.Context, records []kafka.Record) error {
	if err := k.sender.Check(ctx); err != nil && len(records) > 0 {
		return fmt.Errorf("publish credentials: %w", err)
	}
	answers := make(chan error, len(records))
	for _, rec := range records {
		k.sender.Produce(rec, func(err error) {
			answers <- err
			if ctx.Err() != nil {
				k.Wake() // nobody has waited for it, and looks whether it is still right
			}
		})
	}
	var failed error
	for range records {
		select {
		case err := <-answers:
			failed = errors.Join(failed, err)
		case <-ctx.Done():
			return fmt.Errorf("publish credentials: %w", ctx.Err())
		}
	}
	if failed != nil {
		return fmt.Errorf("publish credentials: %w", failed)
	}
	return nil
}
