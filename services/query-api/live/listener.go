package live

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

const (
	// heartbeatEvery is how often a client is told where the stream is, also when nothing comes that it asked for.
	heartbeatEvery = 15 * time.Second
	// sendBytes is about how much is sent at once of what a filter selects.
	sendBytes = 16 << 10
)

// ErrTooSlow is of a client that was overtaken.
var ErrTooSlow = errors.New("the client takes its events too slowly")

// listener is one client.
type listener struct {
	Client
	hub  *Hub
	feed *feed
	cut  context.CancelCauseFunc

	at          place  // what it was told of, but for the devices while they are owed: see told
	devicesTold uint32 // the fingerprint of the devices that it was told of, while it is owed those of now; 0: nobody knows
	devicesOwed bool   // it has not been told what they are like now

	next      atomic.Int64 // the number of the chunk that it takes next
	buffer    []byte
	heartbeat *time.Ticker
}

// overtaken ends l, also where it waits for its client.
func (l *listener) overtaken() { l.cut(ErrTooSlow) }

// run tells a client what happens from the place on that it named, or from now on.
func (l *listener) run(ctx context.Context) error {
	l.heartbeat = time.NewTicker(heartbeatEvery)
	defer l.heartbeat.Stop()
	defer l.feed.leave(l)
	if err := l.begin(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		c, changed := l.feed.chunk(l.next.Load())
		if c != nil {
			if err := l.take(ctx, c); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-l.heartbeat.C:
			if err := l.sendHeartbeat(); err != nil {
				return err
			}
			if err := l.tellDevices(ctx); err != nil {
				return err
			}
		}
	}
	return context.Cause(ctx)
}

// take sends a chunk of the feed.
func (l *listener) take(ctx context.Context, c *chunk) error {
	if err := l.deliver(c); err != nil {
		return err
	}
	l.next.Add(1)
	if c.start.devices == 0 { // the feed knows of them now
		return l.tellDevices(ctx)
	}
	return nil
}

// begin tells a client what it missed, and joins the feed.
func (l *listener) begin(ctx context.Context) error {
	if l.From == "" {
		l.at = l.feed.now()
		if err := l.Send(appendID(nil, l.at)); err != nil {
			return err
		}
		return l.catchUp(ctx)
	}
	at, err := parsePlace(l.From)
	if err != nil { // a browser that is refused does not try again, or for ever
		return l.resync(ctx)
	}
	l.at, l.devicesTold, l.devicesOwed = at, at.devices, true
	if err := l.Send(appendID(nil, l.at)); err != nil {
		return err
	}
	return l.catchUp(ctx)
}

// resync tells a client to ask anew, and that it hears of what comes from now on.
func (l *listener) resync(ctx context.Context) error {
	l.at, l.devicesOwed = l.feed.now(), false
	if err := l.Send(appendID([]byte(resyncHead+"\n"), l.at)); err != nil {
		return err
	}
	return l.catchUp(ctx) // which it hardly ever needs
}

func (l *listener) sendHeartbeat() error { return l.Send(appendID([]byte(": heartbeat\n"), l.told())) }

// told is the place that the client gets. While it is owed devices that has not the fingerprint of those of now: when it is
// cut off before it has all of them, it comes back and is owed them again.
func (l *listener) told() place {
	p := l.at
	if l.devicesOwed {
		p.devices = l.devicesTold
	}
	return p
}

// deliver sends what the client asked for of a chunk, and was not told of.
func (l *listener) deliver(c *chunk) error {
	switch inStep := l.at.same(c.start) && !l.devicesOwed; {
	case c.resync, inStep && l.Filter.all():
		l.at, l.devicesOwed = c.end, l.devicesOwed && !c.resync
		if len(c.data) == 0 {
			return nil
		}
		return l.Send(c.data)
	default:
		return l.deliverSome(c, inStep)
	}
}

// deliverSome does so event by event. One who is not in step was told of more than the feed was at that place, or is owed
// devices, and gets places of its own.
func (l *listener) deliverSome(c *chunk, inStep bool) error {
	if !inStep {
		l.at = l.at.clone()
	}
	begin := 0
	for i := range c.events {
		e := &c.events[i]
		text, id := c.data[begin:e.id], c.data[e.id:e.end]
		begin = e.end
		if !inStep {
			if e.kind == kindDevice {
				l.at.devices = e.devices
			} else {
				if !l.at.mark(int(e.topic), int(e.partition)).before(e.after) {
					continue
				}
				l.at.set(int(e.topic), int(e.partition), e.after)
			}
		}
		if !l.Filter.selects(e) {
			continue
		}
		l.buffer = append(l.buffer, text...)
		if inStep {
			l.buffer = append(l.buffer, id...)
		} else {
			l.buffer = appendID(l.buffer, l.told())
		}
		if len(l.buffer) >= sendBytes {
			if err := l.flush(); err != nil {
				return err
			}
		}
	}
	if inStep {
		l.at = c.end
	} else {
		l.at = l.at.merge(c.end)
		l.at.devices = c.end.devices
	}
	return l.flush()
}

func (l *listener) flush() error {
	if len(l.buffer) == 0 {
		return nil
	}
	err := l.Send(l.buffer)
	if l.buffer = l.buffer[:0]; cap(l.buffer) > 2*sendBytes {
		l.buffer = nil
	}
	return err
}

// catchUp tells a client from the log what it missed, until the feed has the rest.
func (l *listener) catchUp(ctx context.Context) error {
	checked := false
	for wait := 100 * time.Millisecond; ; {
		if now := l.feed.now(); l.at.topics != now.topics {
			return l.resync(ctx)
		} else if checked || now.covers(l.at) {
			if devices, ok := l.feed.join(l); ok {
				l.at.devices = devices
				return l.tellDevices(ctx)
			}
		}
		err := l.takeTurn(ctx, !checked)
		switch {
		case errors.Is(err, kafka.ErrGone):
			return l.resync(ctx)
		case err == nil:
			checked, wait = true, 100*time.Millisecond
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, errLog):
			return err
		}
		l.hub.log.Debug("reading what a client missed failed, trying again", "err", err)
		if err := l.pause(ctx, time.After(wait)); err != nil {
			return err
		}
		wait = min(2*wait, longestRestart)
	}
}

// pause waits, and keeps the client's connection.
func (l *listener) pause(ctx context.Context, over <-chan time.Time) error {
	for {
		select {
		case <-over:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.heartbeat.C:
			if err := l.sendHeartbeat(); err != nil {
				return err
			}
		}
	}
}

// errLog is of a log that cannot be read at the moment.
var errLog = errors.New("the log cannot be read")

// takeTurn reads a part of what the client missed up to where the feed is, and first, if asked, whether the log reaches back.
func (l *listener) takeTurn(ctx context.Context, check bool) error {
	release, err := l.waitForTurn(ctx)
	if err != nil {
		return err
	}
	defer release()
	turn, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	if check {
		if err := l.checkLog(turn); err != nil {
			return err
		}
	}
	until := l.feed.now()
	if until.topics != l.at.topics {
		return kafka.ErrGone
	}
	for topic, name := range topicNames(l.hub.cfg) {
		err := l.readTopic(turn, topic, name, until)
		if turn.Err() != nil && errors.Is(err, turn.Err()) {
			return ctx.Err() // nil: the rest is for another turn
		}
		if err != nil {
			return err
		}
	}
	l.at = l.at.merge(until) // of records that are none, as the ends of transactions
	return nil
}

// checkLog returns kafka.ErrGone where the log does not reach back to what the client was told of last, or has never been
// so far.
func (l *listener) checkLog(ctx context.Context) error {
	ends, err := kafka.FetchEnds(ctx, l.hub.cfg, topicNames(l.hub.cfg)...)
	if err != nil {
		return errors.Join(errLog, err)
	}
	if topicsIDOf(ends) != l.at.topics {
		return kafka.ErrGone
	}
	for topic, marks := range l.at.marks {
		if len(marks) > len(ends[topic].Next) {
			return kafka.ErrGone
		}
		for partition, next := range ends[topic].Next {
			if m := l.at.mark(topic, partition); m.next > next || m.next < ends[topic].Oldest[partition] {
				return kafka.ErrGone
			}
		}
	}
	return nil
}

// readTopic tells the client what is on a topic up to a place.
func (l *listener) readTopic(ctx context.Context, topic int, name string, until place) error {
	cfg := l.hub.cfg
	cfg.Topic = name
	reader := &kafka.RangeReader{Config: cfg, MaxBatch: turnBatch, Log: l.hub.log}
	for partition, m := range until.marks[topic] {
		if told := l.at.mark(topic, partition); told.next < m.next {
			reader.Offsets = append(reader.Offsets, kafka.OffsetRange{Partition: int32(partition), Start: told.next, End: m.next})
		}
	}
	if reader.Offsets == nil {
		return nil
	}
	var mu sync.Mutex // partitions take turns
	var failure error // of the client
	build := newBuilder(l.at, &l.Filter, func(c *chunk) error {
		failure = l.deliver(c)
		return failure
	})
	reader.Handle = func(ctx context.Context, records []kafka.Record) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range records {
			if ctx.Err() != nil || failure != nil {
				break
			}
			_ = build.add(topic, &records[i]) // which fails as the client does
		}
		if c := build.take(); c != nil && failure == nil {
			failure = l.deliver(c)
		}
		select {
		case <-l.heartbeat.C:
			failure = cmp.Or(failure, l.sendHeartbeat())
		default:
		}
		return cmp.Or(failure, ctx.Err())
	}
	err := reader.Run(ctx)
	switch {
	case failure != nil:
		return failure
	case err == nil, errors.Is(err, kafka.ErrGone), ctx.Err() != nil:
		return err
	}
	return errors.Join(errLog, err)
}
