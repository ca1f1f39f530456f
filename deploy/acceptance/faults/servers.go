package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// killServers kills the processes in containers, and starts the containers again.
func killServers(names ...string) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		return errors.Join(t.stack.docker(ctx, "kill", names...), t.pause(ctx, 2*time.Second), t.stack.docker(ctx, "start", names...))
	}
}

// killEverything kills all services and all servers but Mosquitto, whose own row says what it can lose.
func killEverything(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	err := t.each(t.names(), (*service).kill)
	return errors.Join(err, killServers("kafka", "mongo", "redis", "mysql")(ctx, t), t.each(t.names(), (*service).start))
}

// killMosquitto kills Mosquitto while messages wait in it for the bridge.
func killMosquitto(ctx context.Context, t *trial) error {
	const onTheirWay = 2 * time.Second // to the bridge, when it loses its connection
	lift := t.fault()
	defer lift()
	bridge := t.proxies["bridge-mosquitto"]
	from := time.Now().Add(-onTheirWay)
	err := errors.Join(bridge.refuse(), sleep(ctx, 3*time.Second), t.stack.docker(ctx, "kill", "mosquitto"))
	t.mayLose(subscribe, from, time.Now())
	return errors.Join(err, t.stack.docker(ctx, "start", "mosquitto"), bridge.allow())
}

// pauseServer stops all processes of a server, and checks that those say so that need it.
func pauseServer(name string) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		err := t.stack.docker(ctx, "pause", name)
		begin := time.Now()
		return errors.Join(err, t.degraded(ctx, begin, proxiesTo(name)...), sleep(ctx, longPause-time.Since(begin)), t.stack.docker(ctx, "unpause", name))
	}
}

// outage begins with its first function, and ends with its second.
type outage struct {
	begin, end func(context.Context, *trial) error
}

// away is a server that is not there.
func away(name string) outage {
	return outage{
		func(ctx context.Context, t *trial) error { return t.stack.docker(ctx, "kill", name) },
		func(ctx context.Context, t *trial) error { return t.stack.docker(ctx, "start", name) },
	}
}

// readOnly is MySQL that refuses all writes.
var readOnly = outage{
	func(ctx context.Context, t *trial) error { return t.mysql(ctx, "SET GLOBAL super_read_only = ON") },
	func(ctx context.Context, t *trial) error {
		return t.mysql(ctx, "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF")
	},
}

func (t *trial) mysql(ctx context.Context, statements string) error {
	return t.stack.exec(ctx, "mysql", "mysql", "-h127.0.0.1", "-uroot", "-p"+password, "-e", statements)
}

// unregistered has devices send their first readings during an outage of the database, and checks that they are not
// registered until it ends; that they are afterwards is checked of all devices.
func unregistered(o outage) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		failures := func() (float64, error) {
			return t.services[queryAPI].counts(ctx, "telltale_kafka_consumer_batch_failures_total", "group", "device-registry")
		}
		before, err := failures()
		if err != nil {
			return err
		}
		if err := o.begin(ctx, t); err != nil {
			return err
		}
		err = t.firstReadings(ctx)
		if err == nil {
			err = rises(ctx, before+1, failures)
		}
		if err == nil {
			err = t.noneRegistered(ctx)
		}
		return errors.Join(err, o.end(ctx, t))
	}
}

// firstReadings adds devices, and waits until they publish.
func (t *trial) firstReadings(ctx context.Context) error {
	for mode := range t.devices {
		f, err := t.addFleet(ctx, mode, fleetSize)
		if err != nil {
			return err
		}
		if err := rises(ctx, float64(fleetSize.devices), func() (float64, error) { return float64(f.Report().Acknowledged), nil }); err != nil {
			return err
		}
	}
	return nil
}

// noneRegistered is nil when the API knows none of the devices that were added last.
func (t *trial) noneRegistered(ctx context.Context) error {
	for _, f := range t.fleets[len(t.fleets)-len(t.devices):] {
		for i := range f.size.devices {
			url := fmt.Sprintf("%s/api/devices/%d/", t.api, f.first+iot.DeviceID(i))
			switch status, err := statusOf(ctx, url); {
			case err != nil:
				return err
			case status != http.StatusNotFound && status != http.StatusServiceUnavailable:
				return fmt.Errorf("the fault has no effect: GET %s: %d", url, status)
			}
		}
	}
	return nil
}

// denied runs the writer with a password that MongoDB does not take, and checks that it says so.
func denied(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	p := t.services[ingestWriter]
	right := p.settings
	defer func() { p.settings = right }()
	p.settings = nil
	for _, s := range right {
		p.settings = append(p.settings, strings.Replace(s, ":"+password+"@", ":wrong@", 1))
	}
	if err := errors.Join(p.stop(), p.start()); err != nil {
		return err
	}
	err := errors.Join(eventually(ctx, 2*brief, func() error {
		answer, err := p.readyz(ctx)
		if err == nil && (!missing(answer, "mongodb") || !strings.Contains(strings.ToLower(answer), "auth")) {
			err = fmt.Errorf("ingest-writer does not say that MongoDB does not let it in, but %s", answer)
		}
		return err
	}), p.stop())
	p.settings = right
	return errors.Join(err, p.start())
}

// wrongAddress starts Kafka anew so that it advertises an address where nobody listens, and repairs it.
func wrongAddress(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	var wrong []string
	for _, name := range portNames {
		if strings.HasSuffix(name, "_KAFKA_PROXY") {
			wrong = append(wrong, name+"=9")
		}
	}
	up := []string{"up", "-d", "--wait", "kafka"}
	err := t.stack.compose(ctx, wrong, up...)
	begin := time.Now()
	var named errgroup.Group
	for _, n := range needs(proxiesTo("kafka")...) {
		if n.process == queryAPI {
			n.dependency += " (device-registry)" // its producer asks the first address alone, until something is to be replayed
		}
		if p := t.services[n.process]; p != nil {
			named.Go(func() error { return p.degraded(ctx, begin, n.dependency) })
		}
	}
	return errors.Join(err, named.Wait(), sleep(ctx, brief), t.stack.compose(ctx, nil, up...))
}

// deleteTopic deletes the readings' topic. Telltale makes it again when it has missed it for a while.
func deleteTopic(ctx context.Context, t *trial) error {
	const onTheirWay = 2 * time.Second // to the stores
	lift := t.fault()
	defer lift()
	client, err := t.kafkaClient()
	if err != nil {
		return err
	}
	defer client.Close()
	old, err := t.topicID(ctx)
	if err != nil {
		return err
	}
	from := time.Now().Add(-onTheirWay)
	deleted, err := kadm.NewClient(client).DeleteTopic(ctx, topic)
	if err = errors.Join(err, deleted.Err); err != nil {
		return fmt.Errorf("delete %s: %w", topic, err)
	}
	for mode := range t.devices {
		t.mayLose(mode, from, time.Now().Add(time.Second)) // Kafka's metadata needs a moment
	}
	err = eventually(ctx, 30*time.Second, func() error {
		anew, err := t.topicID(ctx)
		if err == nil && (anew == old || anew == kadm.TopicID{}) {
			err = fmt.Errorf("nobody has made %s again", topic)
		}
		return err
	})
	t.before, t.topicSince = offsets{}, time.Now()
	return err
}

func addPartition(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	client, err := t.kafkaClient()
	if err != nil {
		return err
	}
	defer client.Close()
	old, err := t.endOf(ctx, topic)
	if err != nil {
		return err
	}
	added, err := kadm.NewClient(client).CreatePartitions(ctx, 1, topic)
	if err == nil {
		err = added.Error()
	}
	if err != nil {
		return err
	}
	// Producers and consumers find it within 5 s, and then a device of ours may be on it.
	return eventually(ctx, 2*brief, func() error {
		end, err := t.endOf(ctx, topic)
		if err == nil && end[int32(len(old))] == 0 {
			err = errors.New("nothing is published to the new partition")
		}
		return err
	})
}

// dropCollection drops the collection of readings, waits until ingest-writer has made its unique index again, and has
// what was lost with it stored again from Kafka.
func dropCollection(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	readings, closed, err := t.stack.readings()
	if err != nil {
		return err
	}
	defer closed()
	if err := readings.Drop(ctx); err != nil {
		return fmt.Errorf("drop the readings: %w", err)
	}
	err = eventually(ctx, 30*time.Second, func() error {
		indexes, err := readings.Indexes().ListSpecifications(ctx)
		for _, i := range indexes {
			if i.Name == "device_id_1_timestamp_1" && i.Unique != nil && *i.Unique {
				return nil
			}
		}
		return errors.Join(err, errors.New("nobody has made the unique index again"))
	})
	if err != nil {
		return err
	}
	replay, err := t.services[ingestWriter].run("replay", "--from", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = replay.Kill() })()
	if code := replay.ExitCode(); code != 0 {
		return fmt.Errorf("ingest-writer replay: exit code %d; the end of its log:\n%s", code, replay.LogEnd(8))
	}
	return nil
}

// dropTable drops the table of devices, and waits until query-api has made it again. That they are all registered
// again is checked afterwards.
func dropTable(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	if err := t.mysql(ctx, "DROP TABLE iot.devices"); err != nil {
		return err
	}
	return eventually(ctx, 30*time.Second, func() error { return t.mysql(ctx, "SELECT 1 FROM iot.devices LIMIT 1") })
}

// readings returns the collection in MongoDB, past all proxies.
func (s *stack) readings() (readings *mongo.Collection, closed func(), err error) {
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://telltale:" + password + "@" + s.addr("MONGO_PORT") + "/?authSource=admin"))
	if err != nil {
		return nil, nil, err
	}
	return client.Database("iot").Collection("readings"), func() { _ = client.Disconnect(context.Background()) }, nil
}

// empty deletes all readings from MongoDB, so that a trial is not slowed down by those before it.
func (s *stack) empty(ctx context.Context) error {
	readings, closed, err := s.readings()
	if err != nil {
		return err
	}
	defer closed()
	if _, err := readings.DeleteMany(ctx, bson.D{}); err != nil {
		return fmt.Errorf("empty MongoDB: %w", err)
	}
	return nil
}
