package producer

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/telltale-iot/telltale/pkg/timeouts"
)

// produceResponse is what came of a produce request.
type produceResponse struct {
	leader     *sarama.Broker
	partitions []*partition // those that had a batch in the request
	response   *sarama.ProduceResponse
	err        error // instead of a response; whether the broker has the batches is not known
}

// dispatch sends a request to every broker that leads a partition with records to send, and has none of ours in
// flight. It returns when to try again for the partitions in backoff, zero if none is.
func (s *sender) dispatch(now time.Time) (next time.Time) {
	if s.producerID == noProducerID {
		return time.Time{}
	}
	ready := map[*sarama.Broker][]*partition{}
	for _, t := range s.topics {
		for _, p := range t.partitions {
			switch {
			case p.lostProducerID() && s.needProducerID:
			case p.ready(now) && !s.inFlight[p.leader]:
				if s.rejectOversized(p); len(p.waiting()) > 0 {
					ready[p.leader] = append(ready[p.leader], p)
				}
			case !p.inFlight && len(p.waiting()) > 0 && now.Before(p.retryAt):
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
		return a.waiting()[0].acceptedAt.Compare(b.waiting()[0].acceptedAt)
	})
	request := &sarama.ProduceRequest{
		Version:      10, // at most; the connection settles on what the broker knows
		RequiredAcks: sarama.WaitForAll,
		Timeout:      int32(timeouts.KafkaReplication / time.Millisecond),
	}
	bytes, n := 0, 0
	for ; n < len(partitions); n++ {
		p := partitions[n]
		if bytes += p.prepare(s.producerID, !s.withoutTime); bytes > maxRequestBytes && n > 0 {
			break
		}
		p.inFlight = true
		request.AddBatch(p.topic, p.id, p.batch.wire)
	}
	partitions = partitions[:n]
	s.inFlight[leader] = true
	go func() {
		response, err := leader.Produce(request)
		s.responses <- produceResponse{leader, partitions, response, err}
	}()
}

// handleResponse takes in a response.
func (s *sender) handleResponse(r produceResponse) {
	delete(s.inFlight, r.leader)
	now := time.Now()
	if r.err == nil {
		s.responded()
	}
	for _, p := range r.partitions {
		p.inFlight = false
		if r.err != nil {
			s.retry(p, fmt.Errorf("broker %d: %w", r.leader.ID(), r.err), now)
			continue
		}
		block := r.response.GetBlock(p.topic, p.id)
		if block == nil {
			s.retry(p, sarama.ErrIncompleteResponse, now)
			continue
		}
		s.handleBlock(p, block, now)
	}
}

// handleBlock takes in what a response says of p's batch.
func (s *sender) handleBlock(p *partition, block *sarama.ProduceResponseBlock, now time.Time) {
	switch block.Err {
	case sarama.ErrNoError, sarama.ErrDuplicateSequenceNumber: // the broker has it, maybe from an earlier attempt
		s.metrics.acknowledged(p.topic, p.size, now.Sub(p.waiting()[0].acceptedAt))
		s.complete(p.size, p.acknowledged)

	case sarama.ErrMessageSizeTooLarge, sarama.ErrMessageSetSizeTooLarge:
		s.reject(p, fmt.Errorf("%w: %d bytes for topic %q", ErrTooLarge, p.batch.bytes, p.topic))

	case sarama.ErrInvalidTimestamp: // too far from the broker's clock, where the topic minds
		if !p.timed {
			s.reject(p, fmt.Errorf("refused by topic %q: %w", p.topic, reason(block)))
			return
		}
		if !s.withoutTime {
			s.log.Warn("kafka does not take the time of this machine; records are sent without one until the next start", "topic", p.topic, "err", reason(block))
		}
		s.withoutTime = true
		p.reset()

	case sarama.ErrInvalidRecord:
		s.reject(p, fmt.Errorf("refused by topic %q: %w", p.topic, reason(block)))

	case sarama.ErrOutOfOrderSequenceNumber, sarama.ErrUnknownProducerID, sarama.ErrInvalidProducerEpoch,
		sarama.ErrInvalidProducerIDMapping, sarama.ErrProducerFenced,
		sarama.ErrUnknown: // a broker may have counted a batch that it then could not write, and call it a duplicate
		// The broker's state of the producer id is not ours. Under a new one both begin with nothing. Other
		// partitions change over with their next batch.
		s.metrics.identityLost(p.topic)
		s.needProducerID = s.needProducerID || p.producerID == s.producerID
		p.producerID = noProducerID
		s.retry(p, reason(block), now)

	default: // whatever else it is, it may pass, and giving up would lose the records
		s.retry(p, reason(block), now)
	}
}

// reject gives a batch up: its records are tried in smaller ones, or it is a single record and failed.
func (s *sender) reject(p *partition, err error) {
	if p.size == 1 {
		s.metrics.failed(p.topic)
		s.log.Warn("record refused for good", "topic", p.topic, "partition", p.id, "err", err)
		s.complete(1, func() { p.rejected(err) })
		return
	}
	p.rejected(err)
}

// rejectOversized gives up records that are too large for any request.
func (s *sender) rejectOversized(p *partition) {
	for p.size == 0 && len(p.waiting()) > 0 && size(&p.waiting()[0].record) > maxRequestBytes {
		p.size = 1
		s.reject(p, fmt.Errorf("%w: %d bytes for topic %q", ErrTooLarge, size(&p.waiting()[0].record), p.topic))
	}
}

// complete counts n records as completed before end calls their done.
func (s *sender) complete(n int, end func()) {
	s.mu.Lock()
	s.unacked -= n
	s.mu.Unlock()
	end()
}

// retry leaves the batch where it is and requests metadata: there may be another leader.
func (s *sender) retry(p *partition, err error, now time.Time) {
	p.failed(err, now)
	s.metrics.retried(p.topic)
	s.failures.Failed(s.log.With("topic", p.topic, "partition", p.id), "kafka does not take records, trying again",
		cmp.Or(s.metadataErr, err)) // that no broker responds says more than that one does not
	s.requestMetadata()
}

// reason is the broker's error with its explanation, where it gave one.
func reason(block *sarama.ProduceResponseBlock) error {
	if block.ErrorMessage == nil || *block.ErrorMessage == "" {
		return block.Err
	}
	return fmt.Errorf("%w (%s)", block.Err, *block.ErrorMessage)
}
