package credentials

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/lograte"
)

const (
	// batch is how many records are taken in at a time.
	batch = 500
	// firstWait and longestWait are between attempts to read the topic.
	firstWait   = 100 * time.Millisecond
	longestWait = 2 * time.Second
	// rereadAfter is how soon the topic is read anew where there was no room for all: some may have ended.
	rereadAfter = time.Minute
	// expiryTick is how late the end of an expired credential may be told. From its time on it lets nobody in.
	expiryTick = time.Second
)

var errNoRoom = errors.New("there was no room for all credentials")

// Run reads the topic, and follows it until ctx ends. It goes on through outages.
func (t *Table) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return t.expire(ctx) })
	group.Go(func() error { return t.keepReading(ctx) })
	return group.Wait()
}

func (t *Table) keepReading(ctx context.Context) error {
	var failures lograte.Limiter
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		read, err := t.read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if read {
			wait = firstWait
		}
		t.mu.Lock()
		t.failure = fmt.Errorf("the credentials of devices cannot be read: %w", err)
		t.mu.Unlock()
		if n := failures.Event(); n > 0 {
			t.log.Warn("the topic of credentials is read anew", "topic", t.cfg.CredentialsTopic(), "err", err, "count", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// read reads the topic from its beginning, and follows it until that fails. It reports whether what was there is read.
func (t *Table) read(ctx context.Context) (read bool, err error) {
	topic := t.cfg
	topic.Topic = t.cfg.CredentialsTopic()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	reread := time.AfterFunc(rereadAfter, func() {
		if t.isOver() {
			cancel(errNoRoom)
		}
	})
	defer reread.Stop()

	began, caughtUp := make(chan kafka.TopicEnds, 1), make(chan struct{})
	follower := &kafka.Follower{
		Config: topic, Topics: []string{topic.Topic}, Log: t.log,
		Begin: func(ends []kafka.TopicEnds) { began <- ends[0] },
		Grown: func(int, int) {},
		Handle: func(_ int, records []kafka.Record) {
			select {
			case <-caughtUp:
				t.follow(records)
				if t.isOver() {
					reread.Reset(rereadAfter)
				}
			case <-ctx.Done():
			}
		},
	}
	group, inGroup := errgroup.WithContext(ctx)
	group.Go(func() error { return follower.Run(inGroup) })
	group.Go(func() error {
		select {
		case ends := <-began:
			if err := t.catchUp(inGroup, topic, ends); err != nil {
				return err
			}
		case <-inGroup.Done():
			return nil
		}
		read = true
		close(caughtUp)
		return nil
	})
	err = group.Wait()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return read, err
}

// catchUp reads aside what is on the topic up to its ends. Then that holds, if it is whole or nothing held before.
func (t *Table) catchUp(ctx context.Context, topic kafka.Config, ends kafka.TopicEnds) error {
	t.mu.Lock()
	t.anew = newState(t.now.seed)
	t.mu.Unlock()
	before := &kafka.RangeReader{Config: topic, MaxBatch: batch, Log: t.log, Handle: func(_ context.Context, records []kafka.Record) error {
		t.take(records)
		return nil
	}}
	for partition, end := range ends.Next {
		if start := ends.Oldest[partition]; start < end {
			before.Offsets = append(before.Offsets, kafka.OffsetRange{Partition: int32(partition), Start: start, End: end})
		}
	}
	if before.Offsets != nil {
		if err := before.Run(ctx); err != nil {
			return err
		}
	}
	t.tell(t.caughtUp())
	return nil
}

// take takes in records that were on the topic before, aside: what they say may be superseded.
func (t *Table) take(records []kafka.Record) {
	for i := range records {
		if change, ok := t.decode(&records[i]); ok {
			t.mu.Lock()
			t.anew.apply(change, t.principal(change))
			t.mu.Unlock()
		}
	}
}

// caughtUp has what was read aside hold, if it is whole or nothing held before, and returns who has ended by that.
func (t *Table) caughtUp() (ended []*Principal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failure = nil
	if t.anew.site == nil && t.now.site != nil {
		return nil
	}
	before := t.now
	t.now, t.anew = t.anew, nil
	for id, p := range before.byID {
		if t.now.byID[id] != p {
			ended = append(ended, p)
		}
	}
	t.reportState()
	return ended
}

// follow takes in records that are new.
func (t *Table) follow(records []kafka.Record) {
	var ended []*Principal
	for i := range records {
		change, ok := t.decode(&records[i])
		if !ok {
			continue
		}
		t.mu.Lock()
		p := t.principal(change)
		if gone := t.now.apply(change, p); gone != nil {
			ended = append(ended, gone)
		}
		if t.anew != nil {
			t.anew.apply(change, p)
		}
		t.reportState()
		complete := t.anew != nil && t.anew.site != nil
		t.mu.Unlock()
		if complete {
			ended = append(ended, t.caughtUp()...)
		}
	}
	t.tell(ended)
}

// reportState notes that the table is ready, and logs that there is no room. The caller holds mu.
func (t *Table) reportState() {
	if t.now.site != nil && !t.isReady {
		t.isReady = true
		close(t.ready)
	}
	if t.now.over > 0 {
		if n := t.full.Event(); n > 0 {
			t.log.Error("there is no room for all credentials of devices; nobody gets in with those that came last",
				"taken", len(t.now.byID), "not_taken", t.now.over, "most_bytes", maxBytes)
		}
	}
}

func (t *Table) isOver() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.now.over > 0
}

// expire ends those that expire, until ctx ends.
func (t *Table) expire(ctx context.Context) error {
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			t.mu.Lock()
			ended := t.now.expire(now)
			t.mu.Unlock()
			t.tell(ended)
		}
	}
}

// tell tells that credentials have ended.
func (t *Table) tell(ended []*Principal) {
	for _, p := range ended {
		p.ended.Store(true)
	}
	for _, p := range ended {
		for _, f := range t.onEnd {
			f(p.ID)
		}
	}
}

// principal returns who shows the credential that a change brings; nil where it brings none. Who is known stays the same one,
// whose connections stay too. The caller holds mu.
func (t *Table) principal(change event.AccessChange) *Principal {
	if change.Credential == nil {
		return nil
	}
	p := NewPrincipal(*change.Credential)
	if was := t.now.byID[p.ID]; was != nil && was.is(p) {
		return was
	}
	return p
}

// decode returns what a record says. Others than ours, and broken ones, are logged and say nothing.
func (t *Table) decode(rec *kafka.Record) (event.AccessChange, bool) {
	change, err := event.DecodeAccess(rec)
	if err == nil {
		return change, true
	}
	if n := t.odd.Event(); n > 0 {
		t.log.Warn("a record on the topic of credentials says nothing", "offset", rec.Offset, "err", err, "count", n)
	}
	return event.AccessChange{}, false
}
