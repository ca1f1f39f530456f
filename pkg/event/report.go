package event

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

// Report is what a service says of itself, for people who look at the whole. Each process has one for each of its services.
type Report struct {
	Service  string    `json:"service"`
	Instance string    `json:"instance"` // of the process, among those of the service
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Counted  time.Time `json:"counted,omitzero"` // when: the same for all services of a process, whose counts are of that moment
	Ready    bool      `json:"ready"`
	Problems []string  `json:"problems,omitempty"` // what keeps the process from being ready

	Accounts []Account `json:"accounts,omitempty"`
	Groups   []Group   `json:"groups,omitempty"`
	Stores   []Store   `json:"stores,omitempty"`
	MQTT     *Endpoint `json:"mqtt,omitempty"` // of the bridge
}

// Account is what accounting.Account counts, since the process started.
type Account struct {
	Name     string           `json:"name"` // of the metrics, without "telltale_"
	Received int64            `json:"received"`
	Outcomes map[string]int64 `json:"outcomes"`
	InFlight int64            `json:"in_flight"`
	Rate     float64          `json:"rate"`  // received in a second, over the last 30
	Moved    int64            `json:"moved"` // resolved since the report before
}

// AddsUp reports whether what was received has become something, or is in flight: anything else is a defect.
func (a Account) AddsUp() bool {
	sum := a.InFlight
	for _, n := range a.Outcomes {
		sum += n
	}
	return sum == a.Received
}

// Group is how far the process is with the partitions that it consumes in a group.
type Group struct {
	Group      string  `json:"group"`
	Topic      string  `json:"topic"`
	Partitions int     `json:"partitions"`
	Lag        int64   `json:"lag"`         // records that are not resolved
	LagSeconds float64 `json:"lag_seconds"` // the age of the oldest of them
	Handled    int64   `json:"handled"`     // records that are being handled: some may be counted as resolved already
}

// Store is what a store takes. A negative number is one that nobody knows.
type Store struct {
	Name          string  `json:"name"`
	Bytes         int64   `json:"bytes"`
	BytesPerDay   int64   `json:"bytes_per_day"`
	FreeBytes     int64   `json:"free_bytes"`
	DaysUntilFull float64 `json:"days_until_full"`
}

// Endpoint is where devices publish.
type Endpoint struct {
	Listens   bool   `json:"listens"` // the bridge is the endpoint itself; otherwise it subscribes to a broker
	Address   string `json:"address"` // host:port; without a host where it listens on all addresses of its machine
	TLS       bool   `json:"tls,omitempty"`
	WebSocket string `json:"websocket,omitempty"` // host:port, likewise; "" for none
}

// Record returns r as a record for topic. It takes the place of the one that the process told before.
func (r Report) Record(topic string) (kafka.Record, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return kafka.Record{}, fmt.Errorf("encode a report: %w", err)
	}
	return kafka.Record{Topic: topic, Key: r.key(), Value: value}, nil
}

// Farewell returns the record that ends what r's process has said of r's service.
func (r Report) Farewell(topic string) kafka.Record { return kafka.Record{Topic: topic, Key: r.key()} }

func (r Report) key() []byte { return []byte(r.Service + "\x00" + r.Instance) } // neither has a NUL

// ReadReport returns what the value of a record says, which is no farewell.
func ReadReport(value []byte) (r Report, err error) {
	if err := json.Unmarshal(value, &r); err != nil {
		return r, fmt.Errorf("decode a report: %w", err)
	}
	if r.Service == "" || r.Instance == "" {
		return r, errors.New("decode a report: it names no service or no instance")
	}
	return r, nil
}
