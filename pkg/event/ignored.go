package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// Ignored is what became no part of a reading, for people who look for it: the messages on a topic that nobody reads, or
// a member that the readings of a topic are kept without.
type Ignored struct {
	Topic    string    `json:"topic"`
	ClientID string    `json:"client_id"`        // of who published the last one; "" where nobody knows
	Member   string    `json:"member,omitempty"` // "" where messages are ignored as a whole
	Count    int64     `json:"count"`            // since the replica first saw one, or started
	Last     time.Time `json:"last"`
	Example  string    `json:"example"` // the beginning of the last message, or of the value of the member
	Hint     string    `json:"hint"`    // what to do about it; "" where nobody knows
	Replica  string    `json:"replica"` // of the bridge, whose count it is
}

// Record returns i as a record for topic. It takes the place of those that the replica produced before of the same.
func (i Ignored) Record(topic string) (kafka.Record, error) {
	value, err := json.Marshal(i)
	if err != nil {
		return kafka.Record{}, fmt.Errorf("encode what is ignored: %w", err)
	}
	kind := "topic"
	if i.Member != "" {
		kind = "member"
	}
	key := strings.Join([]string{kind, i.Topic, i.Member, i.Replica}, "\x00") // no MQTT topic has a NUL
	return kafka.Record{Topic: topic, Key: []byte(key), Value: value}, nil
}

// ReadIgnored is the inverse of Record, of its value. The key is that of the replica's later records of the same.
func ReadIgnored(value []byte) (i Ignored, err error) {
	if err := json.Unmarshal(value, &i); err != nil {
		return i, fmt.Errorf("decode what is ignored: %w", err)
	}
	return i, nil
}
