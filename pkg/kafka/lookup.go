package kafka

import (
	"errors"
	"fmt"

	"github.com/IBM/sarama"
)

// identity is the producer id under which a broker counts the records of each partition, to know one that
// it has already.
type identity struct {
	id    int64
	epoch int16
}

var noIdentity = identity{-1, -1}

// question asks for the leaders of topics, and for an identity.
type question struct {
	topics   []string
	identity bool
}

// finding answers a question.
type finding struct {
	topics   map[string]found
	identity identity // noIdentity where none was asked for
	err      error    // nothing could be found out
}

type found struct {
	leaders []*sarama.Broker // by partition; nil where there is none at the moment
	err     error            // the topic could not be found out
}

// lookUp answers questions until there are no more, one at a time, with a client of its own: its calls
// may take as long as Kafka takes to answer.
func (s *sender) lookUp() {
	defer close(s.findings)
	config := clientConfig(s.cfg, s.dialer)
	client, err := sarama.NewClient(s.cfg.Brokers, config) // asks nothing of Kafka yet
	if err != nil {
		for range s.questions {
			s.findings <- finding{err: fmt.Errorf("configure client: %w", err)}
		}
		return
	}
	defer func() { _ = client.Close() }()
	keeper := newTopicKeeper(s.cfg, s.log)
	for q := range s.questions {
		s.findings <- answerQuestion(client, keeper, q)
	}
}

func answerQuestion(client sarama.Client, keeper *topicKeeper, q question) finding {
	f := finding{topics: make(map[string]found, len(q.topics)), identity: noIdentity}
	for _, topic := range q.topics {
		found := findLeaders(client, topic)
		found.err = keeper.look(client, topic, found.err)
		if kerr := sarama.KError(0); found.err != nil && !errors.As(found.err, &kerr) {
			return finding{err: found.err} // not Kafka's answer, but that there is none
		}
		f.topics[topic] = found
	}
	if q.identity {
		response, err := client.InitProducerID()
		if err == nil && response.Err != sarama.ErrNoError {
			err = response.Err
		}
		if err != nil {
			return finding{err: fmt.Errorf("get a producer id: %w", err)}
		}
		f.identity = identity{response.ProducerID, response.ProducerEpoch}
	}
	return f
}

func findLeaders(client sarama.Client, topic string) found {
	if err := client.RefreshMetadata(topic); err != nil && !errors.Is(err, sarama.ErrLeaderNotAvailable) {
		return found{err: err}
	}
	ids, err := client.Partitions(topic) // ascending from 0
	if err == nil && len(ids) == 0 {
		err = sarama.ErrLeaderNotAvailable // it is being created
	}
	if err != nil {
		return found{err: err}
	}
	// Leader would ask Kafka again for each partition that has none.
	writable, err := client.WritablePartitions(topic)
	if err != nil {
		return found{err: err}
	}
	leaders := make([]*sarama.Broker, len(ids))
	for _, id := range writable {
		if leader, err := client.Leader(topic, id); err == nil && int(id) < len(leaders) {
			leaders[id] = leader
		}
	}
	return found{leaders: leaders}
}
