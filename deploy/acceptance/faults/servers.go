package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
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
	bridge := t.links["bridge-mosquitto"]
	from := time.Now().Add(-onTheirWay)
	bridge.refuse()
	err := errors.Join(sleep(ctx, 3*time.Second), t.stack.docker(ctx, "kill", "mosquitto"))
	t.mayLose(subscribe, from, time.Now())
	return errors.Join(err, t.stack.docker(ctx, "start", "mosquitto"), bridge.allow())
}

func pauseServer(name string) injection {
	return func(ctx context.Context, t *trial) error {
		lift := t.fault()
		defer lift()
		return errors.Join(t.stack.docker(ctx, "pause", name), sleep(ctx, longPause), t.stack.docker(ctx, "unpause", name))
	}
}

// newDevices injects a fault while devices send their first readings, and so have to be registered.
func newDevices(fault injection) injection {
	return func(ctx context.Context, t *trial) error {
		for mode := range t.devices {
			if _, err := t.addFleet(ctx, mode, fleetSize); err != nil {
				return err
			}
		}
		return fault(ctx, t)
	}
}

// readOnly lets MySQL refuse all writes for a while.
func readOnly(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	set := func(value string) error {
		return t.stack.exec(ctx, "mysql", "mysql", "-h127.0.0.1", "-uroot", "-p"+password, "-e", "SET GLOBAL super_read_only = "+value)
	}
	return errors.Join(set("ON"), sleep(ctx, brief), set("OFF"), set("OFF; SET GLOBAL read_only = OFF"))
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
	if err := errors.Join(p.stop(), p.start(), sleep(ctx, brief)); err != nil {
		return err
	}
	if p.ready(ctx) {
		return errors.New("ingest-writer says that it is ready, and MongoDB does not let it in")
	}
	err := p.stop()
	p.settings = right
	return errors.Join(err, p.start())
}

// wrongAddress starts Kafka anew so that it tells its clients to go where nobody listens, and mends it.
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
	return errors.Join(t.stack.compose(ctx, wrong, up...), sleep(ctx, brief), t.stack.compose(ctx, nil, up...))
}

// deleteTopic deletes the readings' topic, and creates it anew after two seconds.
func deleteTopic(ctx context.Context, t *trial) error {
	const onTheirWay = 2 * time.Second // to the stores
	lift := t.fault()
	defer lift()
	client, err := t.kafkaClient()
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	old, err := t.topicID(ctx)
	if err != nil {
		return err
	}
	from := time.Now().Add(-onTheirWay)
	deleted, err := admin.DeleteTopic(ctx, topic)
	if err = errors.Join(err, deleted.Err); err != nil {
		return fmt.Errorf("delete %s: %w", topic, err)
	}
	for mode := range t.devices {
		t.mayLose(mode, from, time.Now().Add(time.Second)) // Kafka's metadata needs a moment
	}
	if err := sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	err = eventually(ctx, 20*time.Second, func() error {
		created, err := admin.CreateTopic(ctx, int32(t.partitions), 1, nil, topic)
		if errors.Is(created.Err, kerr.TopicAlreadyExists) {
			return nil // a service was faster
		}
		return errors.Join(err, created.Err)
	})
	if err != nil {
		return err
	}
	t.before, t.topicSince = offsets{}, time.Now()
	anew, err := t.topicID(ctx)
	if err == nil && anew == old {
		err = fmt.Errorf("the fault has no effect: %s is the same topic as before", topic)
	}
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
	added, err := kadm.NewClient(client).CreatePartitions(ctx, 1, topic)
	if err == nil {
		err = added.Error()
	}
	return errors.Join(err, sleep(ctx, brief)) // producers and consumers find it within 5 s
}

// empty deletes all readings from MongoDB, so that a trial is not slowed down by those before it.
func (s *stack) empty(ctx context.Context) error {
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://telltale:" + password + "@" + s.addr("MONGO_PORT") + "/?authSource=admin"))
	if err != nil {
		return err
	}
	defer client.Disconnect(ctx) //nolint:errcheck // nothing is on its way
	if _, err := client.Database("iot").Collection("readings").DeleteMany(ctx, bson.D{}); err != nil {
		return fmt.Errorf("empty MongoDB: %w", err)
	}
	return nil
}
