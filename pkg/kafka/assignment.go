package kafka

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"

	"github.com/telltale-iot/telltale/pkg/kafka/internal/retry"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// assignment is one partition while it is assigned to us. One goroutine gathers the next batch while another handles
// the one before: there are two batches at most, and nothing is fetched while both are full.
type assignment struct {
	*Consumer
	partition int32
	resolved  func(next int64) // marks the offset next to be committed: all before it is resolved

	next    atomic.Int64 // the first offset that is not resolved
	end     atomic.Int64 // the offset that the next produced record will have
	handled atomic.Int64 // records that are being handled
	oldest  atomic.Int64 // when the first of these was produced, in Unix ms; 0 = none is
	waiting atomic.Int64 // since when there are records while none is handled, in Unix ms; 0 = there are none
	failing atomic.Pointer[failure]

	handedOver time.Time // when gather last handed a batch over
}

// failure is why a batch is handled again and again; nil while none is.
type failure struct {
	since time.Time
	err   error
}

// lag returns how many records are not resolved, and how old the first of them is. Of one that was not
// fetched yet it is only known since when it is there.
func (a *assignment) lag() (records int64, age time.Duration) {
	if since := cmp.Or(a.oldest.Load(), a.waiting.Load()); since > 0 {
		age = max(time.Since(time.UnixMilli(since)), 0)
	}
	return max(a.end.Load()-a.next.Load(), a.handled.Load()), age
}

// setEnd notes that the partition's log ends at end.
func (a *assignment) setEnd(end int64) {
	a.end.Store(end)
	if end <= a.next.Load() || a.handled.Load() > 0 {
		a.waiting.Store(0)
		return
	}
	a.waiting.CompareAndSwap(0, time.Now().UnixMilli())
}

// gatherTime is how long a batch waits for what the broker sent with its first record.
const gatherTime = 2 * time.Millisecond

// littleRate is how many records arrive in a second, in all partitions, while a batch lingers. It is well below the 500
// from which on a reading can be read 150 ms after it was published.
const littleRate = 300

// lingers returns how long a batch that begins now waits for others.
func (a *assignment) lingers() time.Duration {
	return max(gatherTime, time.Until(a.handedOver.Add(a.cfg.Linger)))
}

// manyArrive reports whether a batch that got so many records within d is not to linger. The records of one fetch come
// at once: they count as those of the time that the broker may wait for them.
func (a *assignment) manyArrive(records int, d time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	const response = 10 * time.Millisecond // its way
	return float64(records*len(a.assignments)) > littleRate*max(d, a.cfg.MaxWait+response).Seconds()
}

// batchBytes is how long, in bytes, a batch may be before it takes one more record. It is what bounds the
// memory where records are long; a batch of readings is full by their number before.
const batchBytes = 1 << 20

// run consumes what comes from the partition until that or the session ends, and then finishes what was fetched,
// within timeouts.HandlerGrace.
func (a *assignment) run(session context.Context, from sarama.PartitionConsumer) {
	handling, cancel := context.WithCancel(context.WithoutCancel(session))
	defer cancel()
	input, end := context.WithCancel(session)
	defer end()
	context.AfterFunc(input, func() { time.AfterFunc(timeouts.HandlerGrace, cancel) })

	batches, spare := make(chan *recordBatch), make(chan *recordBatch, 2)
	spare <- &recordBatch{}
	spare <- &recordBatch{}
	go func() {
		defer close(batches)
		defer end()
		for a.gather(input, from, <-spare, batches) {
		}
	}()
	failed := false
	for batch := range batches {
		failed = failed || !a.process(handling, input, batch.records)
		batch.reset()
		spare <- batch
	}
}

// gather makes a batch of messages and hands it over: when it is full, or when it has lingered and the handler is free;
// until then it grows. It reports whether there may be more.
func (a *assignment) gather(input context.Context, from sarama.PartitionConsumer, batch *recordBatch, out chan<- *recordBatch) bool {
	messages := from.Messages()
	var m *sarama.ConsumerMessage
	more := true
	select {
	case m, more = <-messages:
	case <-input.Done():
		more = false
	}
	if !more {
		return false
	}
	batch.add(m)
	begun, wait := time.Now(), a.lingers()
	gathered := time.NewTimer(wait)
	defer gathered.Stop()
	defer func() { a.handedOver = time.Now() }()
	var free chan<- *recordBatch // out, once the batch may go
	for more && len(batch.records) < a.cfg.MaxBatch && batch.bytes < batchBytes {
		if wait > gatherTime && a.manyArrive(len(batch.records), time.Since(begun)) {
			wait = gatherTime
			gathered.Reset(wait)
		}
		select { // mostly there is one more, and this is cheaper than waiting for all that may happen
		case m, more = <-messages:
			if more {
				batch.add(m)
			}
			continue
		default:
		}
		select {
		case m, more = <-messages:
			if more {
				batch.add(m)
			}
		case <-gathered.C:
			free = out
		case free <- batch:
			return true
		case <-input.Done():
			more = false
		}
	}
	select {
	case out <- batch:
		return more
	default:
	}
	// There are two batches. What is fetched now would only wait too, as many records as sarama's channel has places,
	// however long they are.
	from.Pause()
	defer from.Resume()
	out <- batch
	return more
}

// process has a batch handled, and reports whether it was. Otherwise the partition is to be released.
func (a *assignment) process(handling, input context.Context, batch []Record) bool {
	a.handled.Store(int64(len(batch)))
	a.oldest.Store(batch[0].Timestamp.UnixMilli())
	a.waiting.Store(0)
	defer a.handled.Store(0)
	defer a.oldest.Store(0)
	if a.handleWithRetry(handling, input, batch) {
		return true
	}
	if a.cfg.Released != nil {
		a.cfg.Released(batch)
	}
	return false
}

// handleWithRetry hands a batch to the handler until it succeeds, and gives up when no more input comes.
func (a *assignment) handleWithRetry(handling, input context.Context, batch []Record) bool {
	next := batch[len(batch)-1].Offset + 1
	backoff := retry.NewBackoff(100*time.Millisecond, 5*time.Second)
	log := a.log.With("partition", a.partition, "offset", batch[0].Offset)
	var failures retry.Log
	defer a.failing.Store(nil)
	for {
		err := a.handle(handling, batch)
		if err == nil {
			failures.Recovered(log, "batch is handled at last")
			a.next.Store(next)
			a.resolved(next)
			a.metrics.handled(len(batch))
			return true
		}
		a.metrics.failures.Inc()
		if input.Err() != nil {
			log.Info("partition is let go with a batch not handled", "err", err)
			return false
		}
		failures.Failed(log, "batch is not handled, trying again", err)
		a.failing.Store(&failure{failures.Since, err})
		select {
		case <-time.After(backoff.NextBackOff()):
		case <-input.Done():
			return false
		}
	}
}

// recordBatch is a batch of records whose memory is used again.
type recordBatch struct {
	records []Record
	bytes   int // of their keys and values
	headers []Header
	names   map[string]string // header names, so that each is allocated once
}

func (b *recordBatch) add(m *sarama.ConsumerMessage) {
	start := len(b.headers)
	for _, h := range m.Headers {
		name, ok := b.names[string(h.Key)]
		if !ok {
			if len(b.names) == 0 || len(b.names) > 100 { // other programs may name them as they like
				b.names = map[string]string{}
			}
			name = string(h.Key)
			b.names[name] = name
		}
		b.headers = append(b.headers, Header{Key: name, Value: h.Value})
	}
	b.bytes += len(m.Key) + len(m.Value)
	b.records = append(b.records, Record{
		Topic:     m.Topic,
		Partition: m.Partition,
		Offset:    m.Offset,
		Key:       m.Key,
		Value:     m.Value,
		Headers:   b.headers[start:len(b.headers):len(b.headers)],
		Timestamp: m.Timestamp,
	})
}

func (b *recordBatch) reset() {
	clear(b.records)
	clear(b.headers)
	b.records, b.headers, b.bytes = b.records[:0], b.headers[:0], 0
}
