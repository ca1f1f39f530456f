package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"

	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// bridgeSubscribe lets Mosquitto queue readings for a bridge that is away, and measures how it takes them
// once it is back: 20,000 in flight, or what the broker allows.
func bridgeSubscribe(ctx context.Context, b *bench, start starter) (f figures, err error) {
	t, err := b.newTopic(ctx, "bridge-subscribe")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, t.remove()) }()
	settings := append(t.settings(), "MQTT_URL="+server("MQTT_URL"), "MQTT_CLIENT_ID="+b.name, "MQTT_TOPICS="+b.name+"/+/data")
	defer func() { err = errors.Join(err, removeSession(context.WithoutCancel(ctx), b.name)) }()

	bridge, err := start(ctx, settings...)
	if err != nil {
		return f, err
	}
	if err := bridge.Stop(); err != nil { // its session stays
		return f, err
	}
	if _, err := b.publish(ctx, simulator.Config{
		URL: server("MQTT_URL"), TopicPrefix: b.name, ClientID: "bench", Devices: devices, Count: int64(b.readings),
	}); err != nil {
		return f, err
	}
	if bridge, err = start(ctx, settings...); err != nil {
		return f, err
	}
	f.n = b.readings
	f.rate, err = await(ctx, int64(b.readings), t.length)
	return finish(bridge, f, err)
}

// fast is how many times as many readings the fastest rows move: the CPU time of a start should not show in them.
const fast = 3

// bridgeFed has a feeder send readings as fast as the bridge acknowledges them: a broker that costs nothing.
func bridgeFed(ctx context.Context, b *bench, start starter) (f figures, err error) {
	t, err := b.newTopic(ctx, "bridge-fed")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, t.remove()) }()
	n := fast * b.readings
	feeder, err := startFeeder(ctx, n)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, feeder.stop()) }()
	bridge, err := start(ctx, append(t.settings(), "MQTT_URL="+feeder.url, "MQTT_CLIENT_ID="+b.name, "MQTT_TOPICS="+feedTopics)...)
	if err != nil {
		return f, err
	}
	f.n = n
	f.rate, err = await(ctx, int64(n), t.length)
	return finish(bridge, f, err)
}

func bridgeListenPaced(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.bridgeListen(ctx, start, simulator.Config{Rate: 10, Duration: b.seconds})
}

func bridgeListenFull(ctx context.Context, b *bench, start starter) (figures, error) {
	return b.bridgeListen(ctx, start, simulator.Config{Count: int64(fast * b.readings)})
}

// bridgeListen measures a bridge that devices are connected to.
func (b *bench) bridgeListen(ctx context.Context, start starter, load simulator.Config) (f figures, err error) {
	t, err := b.newTopic(ctx, "bridge-listen")
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, t.remove()) }()
	addrs, err := proxytest.FreeAddrs(1)
	if err != nil {
		return f, err
	}
	bridge, err := start(ctx, append(t.settings(), "MQTT_LISTEN_ADDR="+addrs[0])...)
	if err != nil {
		return f, err
	}
	load.URL, load.Devices, load.Connections = "tcp://"+addrs[0], devices, 10
	report, err := b.publish(ctx, load)
	if err == nil {
		err = t.holds(ctx, report.Acknowledged)
	}
	return finish(bridge, ofPublishers(report), err)
}

// holds is nil when the topic has n readings.
func (t *topic) holds(ctx context.Context, n int64) error {
	length, err := t.length(ctx)
	if err == nil && length != n {
		err = fmt.Errorf("%d readings were acknowledged, %d are on Kafka", n, length)
	}
	return err
}

// publish runs a fleet to its end.
func (b *bench) publish(ctx context.Context, cfg simulator.Config) (*simulator.Report, error) {
	fleet, err := simulator.New(cfg, b.log)
	if err != nil {
		return nil, err
	}
	err = fleet.Run(ctx)
	if r := fleet.Report(); err == nil && r.Errors > 0 {
		err = fmt.Errorf("the publishers met %d errors", r.Errors)
	}
	return fleet.Report(), err
}

// ofPublishers are the figures of a service as its publishers see them.
func ofPublishers(r *simulator.Report) figures {
	return figures{n: int(r.Acknowledged), rate: r.Rate(), p50: r.Latency(0.5), p99: r.Latency(0.99)}
}

// removeSession makes the MQTT broker forget a client: by a connection in its name with a clean session.
func removeSession(ctx context.Context, clientID string) error {
	u, err := url.Parse(server("MQTT_URL"))
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	connect := append([]byte{0x10, byte(12 + len(clientID)), 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, byte(len(clientID))}, clientID...)
	if _, err := conn.Write(connect); err != nil {
		return err
	}
	var connack [4]byte
	if _, err := io.ReadFull(conn, connack[:]); err != nil {
		return err
	}
	_, err = conn.Write([]byte{0xe0, 0}) // DISCONNECT
	return err
}
