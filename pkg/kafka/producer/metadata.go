package producer

import (
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// producerID is the producer id under which a broker counts the records of each partition, to recognise a batch that
// it has already.
type producerID struct {
	id    int64
	epoch int16
}

var noProducerID = producerID{-1, -1}

// metadataRequest asks for the leaders of topics, and for a producer id.
type metadataRequest struct {
	topics         []string
	needProducerID bool
}

// metadata is the response.
type metadata struct {
	topics     map[string]topicMetadata
	producerID producerID // noProducerID where none was asked for
	err        error      // there is no response
}

type topicMetadata struct {
	leaders []*sarama.Broker // by partition; nil where there is none at the moment
	err     error            // instead of leaders
}

// requestMetadata requests metadata, once more after the request in flight if there is one.
func (s *sender) requestMetadata() {
	s.metadataRetryAt = time.Time{}
	if s.metadataInFlight {
		s.metadataStale = true
		return
	}
	s.metadataInFlight = true
	request := metadataRequest{needProducerID: s.needProducerID}
	for name := range s.topics {
		request.topics = append(request.topics, name)
	}
	s.metadataRequests <- request
}

// handleMetadata takes in a response.
func (s *sender) handleMetadata(m metadata) {
	stale := s.metadataStale
	s.metadataInFlight, s.metadataStale = false, false
	if s.metadataErr = m.err; m.err != nil {
		s.failures.Failed(s.log, "waiting for kafka", m.err)
		s.metadataRetryAt = time.Now().Add(s.metadataBackoff.NextBackOff())
		return
	}
	s.responded()
	s.metadataBackoff.Reset()
	if m.producerID != noProducerID {
		s.producerID, s.needProducerID = m.producerID, false
	}
	for name, found := range m.topics {
		t := s.topics[name]
		if t.err = found.err; found.err == nil {
			s.setLeaders(name, t, found.leaders)
			continue
		}
		if t.missing() {
			t.dropLeaders()
		}
		if t.used() {
			s.failures.Failed(s.log.With("topic", name), "waiting for a topic", t.err)
		}
	}
	if stale {
		s.requestMetadata()
	}
}

// setLeaders sets the leaders of a topic's partitions, and queues the records that waited for it.
func (s *sender) setLeaders(name string, t *topic, leaders []*sarama.Broker) {
	for id := len(t.partitions); id < len(leaders); id++ {
		t.partitions = append(t.partitions, newPartition(name, int32(id)))
	}
	t.count = len(leaders)
	for id, leader := range leaders {
		p := t.partitions[id]
		p.topicMissing = false
		if leader != p.leader {
			p.leader = leader
			p.retryAt = time.Time{} // whatever failed, this is another broker
		}
	}
	records := t.waiting
	t.waiting = nil
	for _, p := range t.partitions[t.count:] { // the topic was recreated with fewer
		if p.removable() {
			records = append(records, p.remove()...)
		}
	}
	for _, r := range records {
		s.route(r)
	}
}

// fetchMetadata responds to metadata requests until there are no more, one at a time: its calls may take as long as
// Kafka takes to respond.
func (s *sender) fetchMetadata() {
	defer close(s.metadataResponses)
	defer func() { _ = s.client.Close() }()
	missing := kafka.NewMissingTopics(s.cfg, s.log)
	for request := range s.metadataRequests {
		s.metadataResponses <- fetch(s.client, missing, request)
	}
}

func fetch(client sarama.Client, missing *kafka.MissingTopics, request metadataRequest) metadata {
	m := metadata{topics: make(map[string]topicMetadata, len(request.topics)), producerID: noProducerID}
	for _, topic := range request.topics {
		found := fetchTopic(client, topic)
		found.err = missing.Observe(client, topic, found.err)
		if kerr := sarama.KError(0); found.err != nil && !errors.As(found.err, &kerr) {
			return metadata{err: found.err} // not Kafka's response, but that there is none
		}
		m.topics[topic] = found
	}
	if request.needProducerID {
		response, err := client.InitProducerID()
		if err == nil && response.Err != sarama.ErrNoError {
			err = response.Err
		}
		if err != nil {
			return metadata{err: fmt.Errorf("get a producer id: %w", err)}
		}
		m.producerID = producerID{response.ProducerID, response.ProducerEpoch}
	}
	return m
}

func fetchTopic(client sarama.Client, topic string) topicMetadata {
	if err := client.RefreshMetadata(topic); err != nil && !errors.Is(err, sarama.ErrLeaderNotAvailable) {
		return topicMetadata{err: err}
	}
	ids, err := client.Partitions(topic) // ascending from 0
	if err == nil && len(ids) == 0 {
		err = sarama.ErrLeaderNotAvailable // it is being created
	}
	if err != nil {
		return topicMetadata{err: err}
	}
	// Leader would ask Kafka again for each partition that has none.
	writable, err := client.WritablePartitions(topic)
	if err != nil {
		return topicMetadata{err: err}
	}
	leaders := make([]*sarama.Broker, len(ids))
	for _, id := range writable {
		if leader, err := client.Leader(topic, id); err == nil && int(id) < len(leaders) {
			leaders[id] = leader
		}
	}
	return topicMetadata{leaders: leaders}
}
