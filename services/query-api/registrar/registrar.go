// Package registrar registers devices: it reads the topic of readings, and creates every device that a reading is of in
// the metadata store, under its own id.
//
// It always asks the store and remembers nothing, so a device that was deleted and goes on publishing is
// back with its next reading, whoever deleted it. While the store is away it waits at the batch that
// failed. What is wrong on the topic it passes over: the ingest-writer sends that to the dead letters.
//
// Where readings say what their device is called and where it is (iot.DeviceNameAttribute, iot.DeviceLocationAttribute),
// that fills in what nobody has said: a name that is not only the key or the number stays, and so does a location.
//
// It also keeps when each device has reported last: the time at which Kafka took the newest reading that the device sent itself,
// none that comes from a dead letter or a file. That is in the store before the batch is committed, so no restart loses it.
//
// Some devices are not registered: one whose key has the id of another key; with DEVICES=known, one that nobody has
// created; and one beyond MAX_DEVICES. Each of their readings is a dead letter, which says so, though ingest-writer, which
// knows no devices, stores it. All others go on.
//
// # What is in memory
//
// Of each partition, and no more whatever is on the topic (TestMemory):
//
//	records                           what package kafka says of a partition
//	readings and dead letters         what package event says of a batch; whom they are of, and what they say
//	                                  of these, and when they reported
package registrar

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/consumer"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/producer"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// Group is the registrar's consumer group.
const Group = "device-registry"

// A batch is at most batchSize records of one partition. The broker waits up to batchWait for more of them. It costs a
// query and a write, and one more of each where readings say what their devices are called, so it waits for longer than a
// reading on its way to being stored. A status is right within a second, with the time that the store takes.
const (
	batchSize = 5000
	batchWait = 250 * time.Millisecond
)

// FileLinger is between two batches for a store in a file while little arrives: each transaction there writes some pages of
// 4 KiB. With batchWait it leaves time for a contact to be there within a second.
const FileLinger = 600 * time.Millisecond

// Run registers the devices of readings from Kafka in store, whose owner it is, until ctx ends; then it finishes the
// batches it has begun, commits them and returns nil. While little arrives, linger is between two batches of a partition.
func Run(ctx context.Context, p *daemon.Process, cfg kafka.Config, admit Config, store metadata.Store, linger time.Duration) error {
	client := cfg
	client.ClientID = Group // the API of the same process has a producer, too
	sender := producer.New(client, p.Log, p.Metrics)
	registered := promauto.With(p.Metrics).NewCounter(prometheus.CounterOpts{
		Name: "telltale_registrar_devices_registered_total",
		Help: "Devices created because of a reading.",
	})
	sink := &event.Sink{
		Store: func(ctx context.Context, batch []iot.Reading) (event.Stored, error) {
			ensured, err := store.EnsureDevices(ctx, devices(batch), admit.admission())
			registered.Add(float64(ensured.Created))
			if err == nil {
				err = store.DescribeDevices(ctx, descriptions(batch))
			}
			refused := refusals(ensured, batch)
			if err == nil {
				err = store.KeepContacts(ctx, contacts(batch, refused, time.Now()))
			}
			return event.Stored{Outcomes: outcomes(len(batch), refused), Refused: refused}, err
		},
		DeadLetter: func(ctx context.Context, deadLetters []event.DeadLetter) error {
			return event.SendDeadLetters(ctx, sender, cfg.DeadLetterTopic(), deadLetters)
		},
		ReadingsOnly: true,
		Account:      event.NewAccount(p.Metrics, "registrar", "registered", "collision", "unknown", "too_many"),
	}
	return consumer.Service{
		GroupConfig: kafka.GroupConfig{
			Config: cfg, Group: Group, MaxBatch: batchSize, MaxWait: batchWait, Linger: linger, Released: sink.Release,
		},
		Handle:    sink.Handle,
		Store:     store,
		StoreName: "metadata store",
		Beside:    sender.Run,
	}.Run(ctx, p)
}

// refusals returns the readings of batch whose devices are not registered, and why.
func refusals(ensured iot.Ensured, batch []iot.Reading) (refused []event.Refused) {
	why := make(map[iot.Identity]iot.Rejection)
	for _, d := range ensured.Collisions {
		detail := fmt.Sprintf("the id %d is also that of another key, whose device is registered", d.ID)
		why[d] = iot.Rejection{Reason: iot.ReasonIDCollision, Detail: detail}
	}
	for _, d := range ensured.Unknown {
		why[d] = iot.Rejection{Reason: iot.ReasonUnknownDevice, Detail: "nobody has created the device (DEVICES=known); the reading is stored"}
	}
	for _, d := range ensured.TooMany {
		why[d] = iot.Rejection{Reason: iot.ReasonTooManyDevices, Detail: "there are as many devices as may be (MAX_DEVICES), and this is none of them; the reading is stored"}
	}
	if len(why) == 0 {
		return nil
	}
	for i, r := range batch {
		if rejection, ok := why[iot.Identity{ID: r.Device, Key: r.Key}]; ok {
			rejection.Device = r.Device
			refused = append(refused, event.Refused{Index: i, Rejection: rejection})
		}
	}
	return refused
}

// outcomes says of so many readings what became of them, in the order of the account.
func outcomes(readings int, refused []event.Refused) []int {
	n := map[iot.Reason]int{}
	for _, r := range refused {
		n[r.Reason]++
	}
	return []int{readings - len(refused), n[iot.ReasonIDCollision], n[iot.ReasonUnknownDevice], n[iot.ReasonTooManyDevices]}
}

// descriptions returns what the readings of batch say of their devices: of each, what was said last.
func descriptions(batch []iot.Reading) []iot.Description {
	var all []iot.Description
	at := make(map[iot.DeviceID]int)
	for _, reading := range batch {
		i, seen := at[reading.Device]
		said := iot.Description{ID: reading.Device}
		if seen {
			said = all[i]
		}
		for _, a := range reading.Attributes {
			switch a.Name {
			case iot.DeviceNameAttribute:
				said.Name = cmp.Or(a.Value, said.Name)
			case iot.DeviceLocationAttribute:
				said.Location = cmp.Or(a.Value, said.Location)
			}
		}
		if said.Name == "" && said.Location == "" {
			continue
		}
		if !seen {
			at[said.ID] = len(all)
			all = append(all, said)
			continue
		}
		all[i] = said
	}
	return all
}

// contacts returns when the devices of batch reported last, but for those whose readings are refused: the device with their
// id is another one. No clock makes a contact later than now.
func contacts(batch []iot.Reading, refused []event.Refused, now time.Time) []iot.Contact {
	last := make(map[iot.DeviceID]time.Time)
	for i, reading := range batch {
		for len(refused) > 0 && refused[0].Index < i {
			refused = refused[1:]
		}
		if reading.Again || len(refused) > 0 && refused[0].Index == i {
			continue
		}
		if reading.Received.After(last[reading.Device]) {
			last[reading.Device] = reading.Received
		}
	}
	now = now.Truncate(time.Millisecond)
	all := make([]iot.Contact, 0, len(last))
	for device, at := range last {
		if at.After(now) {
			at = now
		}
		all = append(all, iot.Contact{Device: device, At: at})
	}
	return all
}

// devices returns whom the readings of batch are of.
func devices(batch []iot.Reading) []iot.Identity {
	seen := make([]iot.Identity, len(batch))
	for i, reading := range batch {
		seen[i] = iot.Identity{ID: reading.Device, Key: reading.Key}
	}
	return seen
}
