package kafka

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"
)

// answer is what came of a request.
type answer struct {
	leader     *sarama.Broker
	partitions []*partition // those that had a batch in it
	response   *sarama.ProduceResponse
	err        error // instead of a response; whether the broker has the batches is not known
}

// dispatch sends a request to every broker that leads a partition with records to send, and has none of
// ours to answer. It returns when to try again for the partitions that wait after a failure, zero if none
// does.
func (s *sender) dispatch(now time.Time) (next time.Time) {
	if s.identity == noIdentity {
		return time.Time{}
	}
	ready := map[*sarama.Broker][]*partition{}
	for _, t := range s.topics {
		for _, p := range t.partitions {
			switch {
			case p.lostIdentity() && s.renew:
			case p.ready(now) && !s.busy[p.leader]:
				if s.refuseHuge(p); len(p.waiting()) > 0 {
					ready[p.leader] = append(ready[p.leader], p)
				}
			case !p.flying && len(p.waiting()) > 0 && now.Before(p.retryAt):
				next = earliest(next, p.retryAt)
			}
		}
	}
	for leader, partitions := range ready {
		s.send(leader, partitions)
	}
	return next
}

// send makes a request of the batches of partitions, as many as fit, those first that wait the longest.
func (s *sender) send(leader *sarama.Broker, partitions []*partition) {
	slices.SortFunc(partitions, func(a, b *partition) int {
		return a.waiting()[0].taken.Compare(b.waiting()[0].taken)
	})
	request := &sarama.ProduceRequest{
		Version:      10, // at most; the connection settles on what the broker knows
		RequiredAcks: sarama.WaitForAll,
		Timeout:      int32(replicationTimeout / time.Millisecond),
	}
	bytes, n := 0, 0
	for ; n < len(partitions); n++ {
		p := partitions[n]
		if bytes += p.prepare(s.identity, !s.untimed); bytes > maxRequestBytes && n > 0 {
			break
		}
		p.flying = true
		request.AddBatch(p.topic, p.id, p.batch.wire)
	}
	partitions = partitions[:n]
	s.busy[leader] = true
	s.inFlight++
	go func() {
		response, err := leader.Produce(request)
		s.answers <- answer{leader, partitions, response, err}
	}()
}

// settle takes in an answer.
func (s *sender) settle(a answer) {
	delete(s.busy, a.leader)
	s.inFlight--
	now := time.Now()
	if a.err == nil {
		s.answered()
	}
	for _, p := range a.partitions {
		p.flying = false
		if a.err != nil {
			s.retry(p, fmt.Errorf("broker %d: %w", a.leader.ID(), a.err), now)
			continue
		}
		block := a.response.GetBlock(p.topic, p.id)
		if block == nil {
			s.retry(p, sarama.ErrIncompleteResponse, now)
			continue
		}
		s.settlePartition(p, block, now)
	}
}

func (s *sender) settlePartition(p *partition, block *sarama.ProduceResponseBlock, now time.Time) {
	switch block.Err {
	case sarama.ErrNoError, sarama.ErrDuplicateSequenceNumber: // a duplicate is what an earlier attempt left
		s.metrics.acknowledged(p.topic, p.size, now.Sub(p.waiting()[0].taken))
		s.settled(p.size, p.acknowledged)

	case sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge:
		s.refuse(p, fmt.Errorf("%w: %d bytes for topic %q", ErrTooLarge, p.batch.bytes, p.topic))

	case sarama.ErrInvalidTimestamp: // too far from the broker's clock, where the topic minds
		if !p.timed {
			s.refuse(p, fmt.Errorf("refused by topic %q: %w", p.topic, reason(block)))
			return
		}
		if !s.untimed {
			s.log.Warn("kafka does not take the time of this machine; records are sent without one until the next start", "topic", p.topic, "err", reason(block))
		}
		s.untimed = true
		p.reset()

	case sarama.ErrInvalidRecord:
		s.refuse(p, fmt.Errorf("refused by topic %q: %w", p.topic, reason(block)))

	case sarama.ErrOutOfOrderSequenceNumber, sarama.ErrUnknownProducerID, sarama.ErrInvalidProducerEpoch,
		sarama.ErrInvalidProducerIDMapping, sarama.ErrProducerFenced,
		sarama.ErrUnknown: // a broker may have counted a batch that it then could not write, and call it a duplicate
		// The broker's memory of us and ours do not agree. Under a new identity they both start at
		// nothing. Other partitions change over once nothing of theirs is in doubt.
		s.metrics.identityLost(p.topic)
		s.renew = s.renew || p.identity == s.identity
		p.identity = noIdentity
		s.retry(p, reason(block), now)

	default: // whatever else it is, it may pass, and giving up would lose the records
		s.retry(p, reason(block), now)
	}
}

// refuse gives a batch up: its records are tried in smaller ones, or it is a single record and failed.
func (s *sender) refuse(p *partition, err error) {
	if p.size == 1 {
		s.metrics.failed(p.topic)
		s.log.Warn("record refused for good", "topic", p.topic, "partition", p.id, "err", err)
		s.settled(1, func() { p.refused(err) })
		return
	}
	p.refused(err)
}

// refuseHuge gives up records that are too large for any request.
func (s *sender) refuseHuge(p *partition) {
	for p.size == 0 && len(p.waiting()) > 0 && p.waiting()[0].record.size() > maxRequestBytes {
		p.size = 1
		s.refuse(p, fmt.Errorf("%w: %d bytes for topic %q", ErrTooLarge, p.waiting()[0].record.size(), p.topic))
	}
}

// settled counts n records as done with, and lets end tell their done.
func (s *sender) settled(n int, end func()) {
	s.mu.Lock()
	s.unacked -= n
	s.mu.Unlock()
	end()
}

// retry leaves the batch where it is and has the leader looked up again.
func (s *sender) retry(p *partition, err error, now time.Time) {
	p.failed(err, now)
	s.metrics.retried(p.topic)
	s.outage.failed(s.log.With("topic", p.topic, "partition", p.id), "kafka does not take records, trying again",
		cmp.Or(s.lost, err)) // that no broker answers says more than that one does not
	s.ask()
}

// reason is the broker's error with its explanation, where it gave one.
func reason(block *sarama.ProduceResponseBlock) error {
	if block.ErrorMessage == nil || *block.ErrorMessage == "" {
		return block.Err
	}
	return fmt.Errorf("%w (%s)", block.Err, *block.ErrorMessage)
}

// drain sends what is queued and takes no more, for drainTime at most.
func (s *sender) drain() {
	now := time.Now()
	s.accept(s.take(nil, true), now)
	s.proceed()
	deadline := time.NewTimer(drainTime)
	defer deadline.Stop()
	pulses := time.NewTicker(pulse)
	defer pulses.Stop()
	for s.unsent() {
		select {
		case <-s.timer.C:
		case a := <-s.answers:
			s.settle(a)
		case f := <-s.findings:
			s.learn(f)
		case <-pulses.C:
			s.ask()
		case <-deadline.C:
			s.abort()
			return
		}
		s.proceed()
	}
}

// unsent reports whether any record waits or is on its way.
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

// abort fails what was not acknowledged, but for the answers that are still coming in.
func (s *sender) abort() {
	s.dialer.closeAll()
	for s.inFlight > 0 {
		s.settle(<-s.answers)
	}
	lost := 0
	for _, t := range s.topics {
		for _, p := range t.partitions {
			n := len(p.waiting())
			lost += n
			s.settled(n, func() { p.drop(n, ErrClosed) })
		}
		lost += len(t.waiting)
		s.settled(len(t.waiting), func() {
			for _, r := range t.waiting {
				r.done(ErrClosed)
			}
		})
	}
	s.log.Warn("records were not sent in time", "records", lost)
}

// close ends the look-ups and the connections.
func (s *sender) close() {
	s.dialer.closeAll()
	close(s.questions)
	for range s.findings { // until lookUp has ended
	}
}
