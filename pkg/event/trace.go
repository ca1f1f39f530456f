package event

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

const (
	// SeenFor is how long what a bridge told counts. It tells all of it again before that, so that nobody reads more of the topic.
	SeenFor = 15 * time.Minute
	// SeenAlive is how long a replica may say nothing until it counts as gone.
	SeenAlive = 3 * time.Minute
	// MaxSeenBytes bounds a record: a bridge keeps 32 KiB of a part, and JSON makes up to six bytes of one.
	MaxSeenBytes = 256 << 10
)

// Seen is what a bridge saw of some devices and clients, for people who ask why a device does not appear.
type Seen struct {
	Replica string       `json:"replica"` // of the bridge
	Started time.Time    `json:"started"` // of the replica; what it told before that does not count any more
	Listens bool         `json:"listens"` // devices connect to it, and not to a broker
	Part    int          `json:"part"`    // which devices and clients it is about; 0 is about none, and says that the replica runs
	Devices []SeenDevice `json:"devices,omitempty"`
	Clients []SeenClient `json:"clients,omitempty"`
}

// SeenDevice is the last message that named a device, and could be read.
type SeenDevice struct {
	Device     iot.DeviceID `json:"device"`
	Topic      string       `json:"topic"`
	At         time.Time    `json:"at"`                    // of the receipt
	DeadLetter bool         `json:"dead_letter,omitempty"` // else it is a reading
	Clock      time.Time    `json:"clock,omitzero"`        // the time that the device said
	Clients    []string     `json:"clients,omitempty"`     // the ids of those that published for it, the last one first
}

// SeenClient is the last connection of a client of MQTT.
type SeenClient struct {
	ID       string    `json:"id"`
	User     string    `json:"user,omitempty"`
	Address  string    `json:"address"`
	Protocol string    `json:"protocol"` // as MQTT 3.1.1
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"` // zero while it is there
	Refused  string    `json:"refused,omitempty"`
	Limited  *Limit    `json:"limited,omitempty"` // nil where it is not slowed
}

// Limit is since when a client is slowed, which sends more than it may.
type Limit struct {
	What  string    `json:"what"` // messages or bytes
	Since time.Time `json:"since"`
}

// Record returns s as a record for topic. It takes the place of the one that the replica produced before of the part.
func (s Seen) Record(topic string) (kafka.Record, error) {
	value, err := json.Marshal(s)
	if err != nil {
		return kafka.Record{}, fmt.Errorf("encode what was seen: %w", err)
	}
	return kafka.Record{Topic: topic, Key: []byte(s.Replica + "\x00" + strconv.Itoa(s.Part)), Value: value}, nil
}

// ReadSeen is the inverse of Record, of its value.
func ReadSeen(value []byte) (s Seen, err error) {
	if err := json.Unmarshal(value, &s); err != nil {
		return s, fmt.Errorf("decode what was seen: %w", err)
	}
	return s, nil
}
