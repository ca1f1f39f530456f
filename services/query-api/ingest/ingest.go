// Package ingest takes the readings in HTTP requests to Kafka. It does for them what mqtt-bridge does for messages over
// MQTT, by the same rules, and knows nothing of HTTP.
//
// The readings of a message are produced to Kafka's topic, and what is rejected in it to the dead-letter topic. Ingest
// returns when Kafka has acknowledged all of them. A reading that is too large for Kafka becomes a dead letter. Members
// that a reading is kept without are counted, and listed with what is ignored.
//
// While Kafka takes nothing Ingest fails: at once where that is known already, and otherwise when its context ends. Any
// part of the message may be in Kafka then, or get there later; whoever sent it sends all of it again, and what has a
// timestamp is stored once.
//
// # What is in memory
//
// For all calls together (TestMemory):
//
//	messages in flight      32 MiB, with parts of files, also when nobody waits for them any more. A batch is decoded and sent step by step,
//	                        and counts with what one step of it can become, and with all that may be rejected in it
//	stamps of devices       what package stamp says
//	what is ignored         what package ignored says
package ingest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/accounting"
	"github.com/telltale-iot/telltale/pkg/ignored"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/payload"
	"github.com/telltale-iot/telltale/pkg/stamp"
)

const (
	maxInFlight = 32 << 20 // bytes of the messages in flight, as cost counts them
	recordCost  = 1536     // about what a reading or dead letter takes, beside its text, until Kafka has it
	resultCost  = 320      // about what a rejection takes until Ingest returns and it is shown
	minElement  = 4        // bytes of an element where it is not JSON: of a record of SenML in CBOR
)

// Message is what one request holds.
type Message struct {
	Source    string // where it came in, for people who look at dead letters
	Client    string // who sent it, for the same
	Principal string // the user name by which he got in, for the same; "" where he showed none
	Payload   []byte // not changed any more, also when Ingest has returned

	May func(iot.DeviceID) bool // whether he may send for a device; nil: for all
	Own iot.Identity            // the device that he means where he names none; zero: that is an error

	// How it is decoded: by a rule, or without one in Telltale's own form.
	Route  *mapping.Route
	Device string // without a rule, the device's id or key that the address names; "" where it names none
}

// Result is what became of a message that Kafka has all of.
type Result struct {
	Accepted int             // readings that are in Kafka
	Rejected []iot.Rejection // what is dead letters instead, in the order of the message
	Omitted  int             // members that readings are kept without
}

// Ingester takes messages to Kafka. It is safe for concurrent use.
type Ingester struct {
	producer    *producer.Producer
	topic       string
	deadLetters string
	zone        *time.Location
	stamps      stamp.Stamper
	ignored     *ignored.List
	inFlight    *semaphore.Weighted
	readings    *accounting.Account
	incomplete  prometheus.Counter
}

// What becomes of readings, rejected ones included.
const (
	produced = iota
	deadLetter
	failed // Kafka does not have it: its request is answered with an error
)

// New returns an Ingester that sends to cfg's topics with producer. Times that say no zone are in that of rules.
func New(producer *producer.Producer, cfg kafka.Config, rules *mapping.Set, log *slog.Logger, metrics prometheus.Registerer) *Ingester {
	host, _ := os.Hostname() // "" where the machine has no name
	return &Ingester{
		producer: producer, topic: cfg.Topic, deadLetters: cfg.DeadLetterTopic(), zone: rules.Zone(),
		ignored:  ignored.New(cfg, cfg.ClientID+"-"+host, rules.Hint, log),
		inFlight: semaphore.NewWeighted(maxInFlight),
		readings: accounting.New(metrics, "telltale_http_readings", "Readings in HTTP requests, rejected ones included,",
			"produced", "dead_letter", "failed"),
		incomplete: promauto.With(metrics).NewCounter(prometheus.CounterOpts{
			Name: "telltale_http_incomplete_total",
			Help: "Members that messages were read without, since they cannot be values. At most 16 of a reading count.",
		}),
	}
}

// Run tells, until ctx ends, of what is ignored.
func (g *Ingester) Run(ctx context.Context) error { return g.ignored.Run(ctx) }

// Ignore takes note of m, which nobody reads.
func (g *Ingester) Ignore(m Message) { g.ignored.Message(m.Source, m.Client, m.Payload) }

// cost is what a message takes at most.
func cost(message []byte) int64 {
	elements := bytes.Count(message, []byte{','}) + 1 // no fewer than there are
	if text := bytes.TrimLeft(message, " \t\r\n\ufeff"); len(text) > 0 && text[0] != '[' && text[0] != '{' {
		elements = max(elements, len(text)/minElement) // there are no commas between them
	}
	return int64(3*len(message) + recordCost*min(elements, payload.StepElements) + resultCost*min(elements, payload.MaxElements))
}

// Ingest returns when all of m is in Kafka, as readings or as dead letters. After an error any part may be there, now or
// later.
func (g *Ingester) Ingest(ctx context.Context, m Message) (Result, error) {
	if err := g.producer.Check(ctx); err != nil {
		return Result{}, fmt.Errorf("send readings: %w", err)
	}
	if g.inFlight.Acquire(ctx, cost(m.Payload)) != nil {
		return Result{}, fmt.Errorf("wait until kafka has earlier readings: %w", ctx.Err())
	}
	d := &delivery{Ingester: g, Message: m, received: time.Now().UTC().Truncate(time.Millisecond), cost: cost(m.Payload)}
	d.pending.Store(1) // for the decoding
	defer d.resolve()

	var (
		step   payload.Result
		result Result
	)
	for decoder := d.decoder(); decoder.More(); {
		step.Reset()
		decoder.Next(&step)
		if err := d.send(ctx, step, &result); err != nil {
			return Result{}, fmt.Errorf("send readings: %w", err)
		}
	}
	result.sort()
	return result, nil
}

// sort sorts what was rejected, of which Kafka has some before others.
func (r *Result) sort() {
	slices.SortStableFunc(r.Rejected, func(a, b iot.Rejection) int { return cmp.Compare(a.Index, b.Index) })
}
