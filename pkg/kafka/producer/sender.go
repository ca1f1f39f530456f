package producer

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/IBM/sarama"
	"github.com/cenkalti/backoff/v5"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/internal/retry"
	"github.com/telltale-iot/telltale/pkg/timeouts"
)

const (
	// linger is how long the first record waits for others. It costs that much latency, and makes one request of
	// what would be many.
	linger = 5 * time.Millisecond
	// metadataInterval is how often metadata is requested without a reason: to find new partitions, and to know
	// that Kafka responds when nothing is being sent.
	metadataInterval = time.Second
)

// sender is the goroutine of Run: everything below belongs to it alone. It does no I/O itself. Each produce request
// has a goroutine, one at a time per broker (a broker handles the requests of a connection one after another anyway),
// and metadata is fetched by another.
type sender struct {
	*Producer
	client      *kafka.Client
	topics      map[string]*topic
	partitioner partitioner
	spare       []queuedRecord // the emptied buffer of incoming

	withoutTime    bool // records are sent without a timestamp
	producerID     producerID
	needProducerID bool                    // the current one is not to be used for new batches
	inFlight       map[*sarama.Broker]bool // brokers with a produce request in flight
	responses      chan produceResponse

	metadataRequests  chan metadataRequest
	metadataResponses chan metadata
	metadataInFlight  bool
	metadataStale     bool      // another request follows the one in flight
	metadataRetryAt   time.Time // when to request again after a failure; zero otherwise
	metadataBackoff   *backoff.ExponentialBackOff
	metadataErr       error // why the latest request failed; nil when it did not

	timer    *time.Timer
	lingerTo time.Time // when incoming is to be taken; zero while it is empty
	failures retry.Log
}

// topic is a topic that records are sent to.
type topic struct {
	partitions []*partition
	count      int            // of partitions that there are; a recreated topic may have fewer than before
	waiting    []queuedRecord // records while the topic's partitions are not known
	err        error          // why they are not
	sticky     int            // the partition of records without a key, for a while
}

// missing reports whether Kafka says that there is no such topic.
func (t *topic) missing() bool { return errors.Is(t.err, sarama.ErrUnknownTopicOrPartition) }

// used reports whether the topic was there before, or records wait for it.
func (t *topic) used() bool { return t.count > 0 || len(t.waiting) > 0 }

// dropLeaders forgets the leaders of the partitions of a missing topic: they do not have them any more, and may be
// other processes by now.
func (t *topic) dropLeaders() {
	for _, p := range t.partitions {
		p.leader, p.topicMissing = nil, true
	}
}

func newSender(p *Producer, client *kafka.Client) *sender {
	return &sender{
		Producer: p,
		client:   client,
		topics: map[string]*topic{ // known early, so that the first record need not wait
			p.cfg.Topic:             {},
			p.cfg.DeadLetterTopic(): {},
		},
		partitioner:       partitioner{murmur2: sarama.NewMurmur2Partitioner("")}, // as Kafka's Java client does
		producerID:        noProducerID,
		needProducerID:    true,
		inFlight:          map[*sarama.Broker]bool{},
		responses:         make(chan produceResponse),
		metadataRequests:  make(chan metadataRequest, 1),
		metadataResponses: make(chan metadata, 1),
		metadataBackoff:   retry.NewBackoff(50*time.Millisecond, metadataInterval),
		timer:             time.NewTimer(0),
	}
}

func (s *sender) run(ctx context.Context) {
	go s.fetchMetadata()
	defer s.close()
	refresh := time.NewTicker(metadataInterval)
	defer refresh.Stop()
	s.requestMetadata()
	for {
		select {
		case <-s.wake:
			s.lingerTo = time.Now().Add(linger)
		case <-s.timer.C:
		case r := <-s.responses:
			s.handleResponse(r)
		case m := <-s.metadataResponses:
			s.handleMetadata(m)
		case <-refresh.C:
			s.requestMetadata()
		case <-ctx.Done():
			s.drain()
			return
		}
		s.proceed()
	}
}

// proceed sends what can be sent, and sets the timer for what can't be yet.
func (s *sender) proceed() {
	now := time.Now()
	if !s.lingerTo.IsZero() && !now.Before(s.lingerTo) {
		s.lingerTo = time.Time{}
		s.accept(s.take(s.spare, false), now)
	}
	if !s.metadataRetryAt.IsZero() && !now.Before(s.metadataRetryAt) {
		s.requestMetadata()
	}
	next := earliest(s.dispatch(now), s.lingerTo, s.metadataRetryAt)
	if next.IsZero() {
		s.timer.Stop()
	} else {
		s.timer.Reset(time.Until(next))
	}
	s.report()
}

// earliest returns the first of times, where zero means never.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// accept queues records by partition. It keeps the emptied buffer to be filled again.
func (s *sender) accept(records []queuedRecord, now time.Time) {
	for i := range records {
		records[i].acceptedAt = now
		s.route(records[i])
	}
	clear(records)
	if s.spare = records[:0]; cap(records) > maxSpareCapacity {
		s.spare = nil
	}
	for _, t := range s.topics {
		if t.count > 0 {
			t.sticky = rand.IntN(t.count)
		}
	}
}

// route queues one record at its partition, or with its topic while the partitions are not known.
func (s *sender) route(r queuedRecord) {
	t := s.topics[r.record.Topic]
	if t == nil {
		t = &topic{}
		s.topics[r.record.Topic] = t
		s.requestMetadata()
	}
	if t.count == 0 {
		t.waiting = append(t.waiting, r)
		return
	}
	n := t.sticky
	if r.record.Key != nil {
		n = s.partitioner.partition(r.record.Key, t.count)
	}
	t.partitions[n].push(r)
}

// partitioner chooses the partition of a key.
type partitioner struct {
	murmur2 sarama.Partitioner
	message sarama.ProducerMessage
	key     keyBytes
}

func (p *partitioner) partition(key []byte, count int) int {
	p.key, p.message.Key = key, &p.key
	n, _ := p.murmur2.Partition(&p.message, int32(count)) // fails only where keyBytes does
	return int(n)
}

// keyBytes is a sarama.Encoder that can be used again and again.
type keyBytes []byte

func (k *keyBytes) Encode() ([]byte, error) { return *k, nil }
func (k *keyBytes) Length() int             { return len(*k) }

// responded notes that Kafka is there.
func (s *sender) responded() {
	s.mu.Lock()
	s.health.responded = time.Now()
	s.mu.Unlock()
}

// report updates what Check says, and logs the recovery when nothing fails any more.
func (s *sender) report() {
	var oldest time.Time
	err := s.metadataErr
	for _, t := range s.topics {
		if t.used() {
			err = cmp.Or(err, t.err)
		}
		if len(t.waiting) > 0 {
			oldest = earliest(oldest, t.waiting[0].acceptedAt)
		}
		for _, p := range t.partitions {
			if len(p.waiting()) > 0 {
				oldest = earliest(oldest, p.waiting()[0].acceptedAt)
				err = cmp.Or(err, p.failure())
			}
		}
	}
	if err == nil {
		s.failures.Recovered(s.log, "kafka takes records again")
	}
	var missing error
	for _, name := range []string{s.cfg.Topic, s.cfg.DeadLetterTopic()} {
		if t := s.topics[name]; t.missing() {
			missing = cmp.Or(missing, t.err)
		}
	}
	s.mu.Lock()
	s.health.oldest, s.health.missing, s.health.err = oldest, missing, err
	s.mu.Unlock()
}

// drain sends what is queued and takes no more, for timeouts.ProducerDrain at most.
func (s *sender) drain() {
	now := time.Now()
	s.accept(s.take(nil, true), now)
	s.proceed()
	deadline := time.NewTimer(timeouts.ProducerDrain)
	defer deadline.Stop()
	refresh := time.NewTicker(metadataInterval)
	defer refresh.Stop()
	for s.unsent() {
		select {
		case <-s.timer.C:
		case r := <-s.responses:
			s.handleResponse(r)
		case m := <-s.metadataResponses:
			s.handleMetadata(m)
		case <-refresh.C:
			s.requestMetadata()
		case <-deadline.C:
			s.abort()
			return
		}
		s.proceed()
	}
}

// unsent reports whether any record waits or is in flight.
func (s *sender) unsent() bool {
	for _, t := range s.topics {
		if len(t.waiting) > 0 {
			return true
		}
		for _, p := range t.partitions {
			if len(p.waiting()) > 0 {
				return true
			}
		}
	}
	return false
}

// abort fails what was not acknowledged, but for the responses that are still coming in.
func (s *sender) abort() {
	s.client.Disconnect()
	for len(s.inFlight) > 0 {
		s.handleResponse(<-s.responses)
	}
	lost := 0
	for _, t := range s.topics {
		for _, p := range t.partitions {
			n := len(p.waiting())
			lost += n
			s.complete(n, func() { p.drop(n, ErrClosed) })
		}
		lost += len(t.waiting)
		s.complete(len(t.waiting), func() {
			for _, r := range t.waiting {
				r.done(ErrClosed)
			}
		})
	}
	s.log.Warn("records were not sent in time", "records", lost)
}

// close ends the connections and the goroutine of the metadata.
func (s *sender) close() {
	s.client.Disconnect()
	close(s.metadataRequests)
	for range s.metadataResponses { // until fetchMetadata has ended
	}
}
