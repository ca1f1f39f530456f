package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// Refusal is of those whom a service did not let in, or not do what they wanted, or would not have, for people who look for
// why.
type Refusal struct {
	Surface   string    `json:"surface"`   // "http", "mqtt" or "kafka"
	Denied    bool      `json:"denied"`    // false: it only would have been, if AUTH said so
	Why       string    `json:"why"`       // a word, as metrics have it
	Principal string    `json:"principal"` // the user name that was shown, or whose it is; "" for none
	ClientID  string    `json:"client_id"` // of MQTT; "" elsewhere
	Device    string    `json:"device"`    // the key or id of the device that it was about; "" where it was about none
	Address   string    `json:"address"`   // without the port
	Example   string    `json:"example"`   // the topic, or the method and path, of the last one
	Count     int64     `json:"count"`     // since the replica first saw one, or started
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Replica   string    `json:"replica"` // whose count it is
}

// Who is what makes two refusals the same, but for the replica that counted them.
func (r Refusal) Who() Refusal {
	return Refusal{Surface: r.Surface, Denied: r.Denied, Why: r.Why, Principal: r.Principal, ClientID: r.ClientID, Device: r.Device, Address: r.Address}
}

// Record returns r as a record for topic. It takes the place of those that the replica produced before of the same.
func (r Refusal) Record(topic string) (kafka.Record, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return kafka.Record{}, fmt.Errorf("encode a refusal: %w", err)
	}
	key := strings.Join([]string{r.Surface, fmt.Sprint(r.Denied), r.Why, r.Principal, r.ClientID, r.Device, r.Address, r.Replica}, "\x00")
	return kafka.Record{Topic: topic, Key: []byte(key), Value: value}, nil
}

// ReadRefusal is the inverse of Record, of its value.
func ReadRefusal(value []byte) (r Refusal, err error) {
	if err := json.Unmarshal(value, &r); err != nil {
		return r, fmt.Errorf("decode a refusal: %w", err)
	}
	return r, nil
}
