package kafka

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/IBM/sarama"
	"github.com/cenkalti/backoff/v5"
)

const (
	// linger is how long the first record waits for others. It costs that much latency, and makes
	// one request of what would be many.
	linger = 5 * time.Millisecond
	// pulse is how often the cluster is looked at without a reason: to find new partitions, and to
	// know that Kafka is there when nothing is being sent.
	pulse = time.Second
)

// sender is the goroutine of a Producer's Run: everything below belongs to it alone. It does no I/O
// itself. Requests are made by a goroutine each, one at a time per broker (a broker handles the requests
// of a connection one after another anyway), and the cluster is looked up by another.
type sender struct {
	*Producer
	dialer *dialer
	topics map[string]*topic
	placer placer
	spare  []pending

	untimed  bool // records are sent without a time
	identity identity
	renew    bool                    // a new one is needed
	busy     map[*sarama.Broker]bool // has a request of ours
	answers  chan answer
	inFlight int

	questions chan question
	findings  chan finding
	asking    bool // a question is out
	askAgain  bool
	askAt     time.Time // when to ask once more after a failure; zero otherwise
	patience  *backoff.ExponentialBackOff
	lost      error // why the latest look-up failed; nil when it did not

	timer  *time.Timer
	due    time.Time // when what Produce queued is to be taken; zero while nothing is
	outage outage
}

// topic is a topic that records are sent to.
type topic struct {
	partitions []*partition
	count      int       // of partitions that there are; a recreated topic may have fewer than before
	waiting    []pending // for the topic to be found
	err        error     // why it is not
	sticky     int       // where records without a key go, for a while
}

// missing reports whether Kafka says that there is no such topic.
func (t *topic) missing() bool { return errors.Is(t.err, sarama.ErrUnknownTopicOrPartition) }

// used reports whether the topic was there before, or records wait for it.
func (t *topic) used() bool { return t.count > 0 || len(t.waiting) > 0 }

// lose takes the leaders from the partitions of a topic that is missing: who led them knows them no more, and may
// be another process by now.
func (t *topic) lose() {
	for _, p := range t.partitions {
		p.leader, p.lost = nil, true
	}
}

func newSender(p *Producer) *sender {
	s := &sender{
		Producer: p,
		dialer:   newDialer(p.cfg),
		topics: map[string]*topic{ // known early, so that the first record need not wait
			p.cfg.Topic:             {},
			p.cfg.DeadLetterTopic(): {},
		},
		placer:    placer{partitioner: sarama.NewMurmur2Partitioner("")}, // as Kafka's Java client does
		identity:  noIdentity,
		renew:     true,
		busy:      map[*sarama.Broker]bool{},
		answers:   make(chan answer),
		questions: make(chan question, 1),
		findings:  make(chan finding, 1),
		patience:  newBackoff(50*time.Millisecond, pulse),
		timer:     time.NewTimer(0),
	}
	return s
}

func (s *sender) run(ctx context.Context) {
	go s.lookUp()
	defer s.close()
	pulses := time.NewTicker(pulse)
	defer pulses.Stop()
	s.ask()
	for {
		select {
		case <-s.wake:
			s.due = time.Now().Add(linger)
		case <-s.timer.C:
		case a := <-s.answers:
			s.settle(a)
		case f := <-s.findings:
			s.learn(f)
		case <-pulses.C:
			s.ask()
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
	if !s.due.IsZero() && !now.Before(s.due) {
		s.due = time.Time{}
		s.accept(s.take(s.spare, false), now)
	}
	if !s.askAt.IsZero() && !now.Before(s.askAt) {
		s.ask()
	}
	next := earliest(s.dispatch(now), s.due, s.askAt)
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
func (s *sender) accept(records []pending, now time.Time) {
	for i := range records {
		records[i].taken = now
		s.route(records[i])
	}
	clear(records)
	if s.spare = records[:0]; cap(records) > keptCapacity {
		s.spare = nil
	}
	for _, t := range s.topics {
		if t.count > 0 {
			t.sticky = rand.IntN(t.count)
		}
	}
}

// route queues one record at its partition, or with its topic while that is not known.
func (s *sender) route(r pending) {
	t := s.topics[r.record.Topic]
	if t == nil {
		t = &topic{}
		s.topics[r.record.Topic] = t
		s.ask()
	}
	if t.count == 0 {
		t.waiting = append(t.waiting, r)
		return
	}
	n := t.sticky
	if r.record.Key != nil {
		n = s.placer.place(r.record.Key, t.count)
	}
	t.partitions[n].push(r)
}

// placer chooses the partition of a key.
type placer struct {
	partitioner sarama.Partitioner
	message     sarama.ProducerMessage
	key         keyBytes
}

func (p *placer) place(key []byte, count int) int {
	p.key, p.message.Key = key, &p.key
	n, _ := p.partitioner.Partition(&p.message, int32(count)) // fails only where keyBytes does
	return int(n)
}

// keyBytes is a sarama.Encoder that can be used again and again.
type keyBytes []byte

func (k *keyBytes) Encode() ([]byte, error) { return *k, nil }
func (k *keyBytes) Length() int             { return len(*k) }

// learn takes in what was found out about the cluster.
func (s *sender) learn(f finding) {
	again := s.askAgain
	s.asking, s.askAgain = false, false
	if s.lost = f.err; f.err != nil {
		s.outage.failed(s.log, "waiting for kafka", f.err)
		s.askAt = time.Now().Add(s.patience.NextBackOff())
		return
	}
	s.answered()
	s.patience.Reset()
	if f.identity != noIdentity {
		s.identity, s.renew = f.identity, false
	}
	for name, found := range f.topics {
		t := s.topics[name]
		if t.err = found.err; found.err == nil {
			s.arrange(name, t, found.leaders)
			continue
		}
		if t.missing() {
			t.lose()
		}
		if t.used() {
			s.outage.failed(s.log.With("topic", name), "waiting for a topic", t.err)
		}
	}
	if again {
		s.ask()
	}
}

// arrange sets the leaders of a topic's partitions, and sends on their way the records that waited for it.
func (s *sender) arrange(name string, t *topic, leaders []*sarama.Broker) {
	for id := len(t.partitions); id < len(leaders); id++ {
		t.partitions = append(t.partitions, newPartition(name, int32(id)))
	}
	t.count = len(leaders)
	for id, leader := range leaders {
		p := t.partitions[id]
		p.lost = false
		if leader != p.leader {
			p.leader = leader
			p.retryAt = time.Time{} // whatever failed, this is another broker
		}
	}
	stranded := t.waiting
	t.waiting = nil
	for _, p := range t.partitions[t.count:] { // the topic was recreated with fewer
		if p.gone() {
			stranded = append(stranded, p.abandon()...)
		}
	}
	for _, r := range stranded {
		s.route(r)
	}
}

// ask has the cluster looked up, once more after the look-up that is under way if there is one.
func (s *sender) ask() {
	s.askAt = time.Time{}
	if s.asking {
		s.askAgain = true
		return
	}
	s.asking = true
	q := question{identity: s.renew}
	for name := range s.topics {
		q.topics = append(q.topics, name)
	}
	s.questions <- q
}

// answered notes that Kafka is there.
func (s *sender) answered() {
	s.mu.Lock()
	s.health.contact = time.Now()
	s.mu.Unlock()
}

// report brings up to date what Check says, and ends the outage when nothing fails any more.
func (s *sender) report() {
	var oldest time.Time
	err := s.lost
	for _, t := range s.topics {
		if t.used() {
			err = cmp.Or(err, t.err)
		}
		if len(t.waiting) > 0 {
			oldest = earliest(oldest, t.waiting[0].taken)
		}
		for _, p := range t.partitions {
			if len(p.waiting()) > 0 {
				oldest = earliest(oldest, p.waiting()[0].taken)
				err = cmp.Or(err, p.failure())
			}
		}
	}
	if err == nil {
		s.outage.over(s.log, "kafka takes records again")
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
