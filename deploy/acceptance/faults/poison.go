package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// quietly injects nothing: the fault is in what the devices send.
func quietly(ctx context.Context, t *trial) error {
	t.fault()()
	return sleep(ctx, time.Second)
}

// junk are payloads that hold no reading.
var junk = [][]byte{
	nil, []byte("{"), []byte(`{"device_id": 0, "temperature": 1}`), []byte("\xff\xfe\x00"), []byte(`[[[[[[`), []byte(`{"temperature": NaN}`),
	[]byte(`{"device_id": 1}`), bytes.Repeat([]byte("x"), 1<<20-1024), []byte(`[` + strings.Repeat(`{},`, 5000) + `1]`),
}

// tooLong is more than a broker or the bridge takes.
const tooLong = 20 << 20

// neighbour returns a good reading, as a device publishes it, that has to be stored beside what is bad.
func (t *trial) neighbour(id iot.DeviceID, at time.Time) []byte {
	reading := fmt.Sprintf(`{"device_id":%d,"temperature":%.1f,"humidity":50,"timestamp":%q}`,
		id, t.dice.Float64()*30, at.UTC().Format("2006-01-02T15:04:05.000Z"))
	fmt.Fprintf(&t.poisoned, "{\"event\":\"sent\",\"reading\":%s}\n{\"event\":\"acknowledged\",\"reading\":%[1]s}\n", reading)
	return []byte(reading)
}

// poisonMQTT publishes junk among good readings, with and without the retain flag, and readings twice with the DUP
// flag, to each bridge.
func poisonMQTT(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	for mode, address := range t.devices {
		conn, err := dialMQTT(ctx, address, "poison-"+mode, true)
		if err != nil {
			return err
		}
		id, at := t.next, time.Now()
		t.next++
		good := func() []byte {
			at = at.Add(time.Millisecond)
			return t.neighbour(id, at)
		}
		send := func(topic string, payload []byte, retain, dup bool) {
			if err == nil {
				err = publish(conn, topic, payload, retain, dup)
			}
		}
		for i, payload := range junk {
			send("sensors/data", payload, i%2 == 0, false)
			send("sensors/data", good(), false, false)
		}
		for _, id := range []string{"0", "-1", "x", "99999999999999999999"} {
			send("sensors/"+id+"/data", []byte(`{"temperature": 1}`), false, false)
		}
		send("sensors/data", bytes.Join([][]byte{[]byte("["), good(), []byte(`, {"device_id": 1}, `), good(), []byte("]")}, nil), false, false)
		twice := good()
		send("sensors/data", twice, false, false)
		send("sensors/data", twice, false, true)
		send("sensors/data", nil, true, false) // leaves nothing retained
		t.rejected += int64(len(junk)) + 6
		if err := errors.Join(err, conn.Close(), t.tooLong(ctx, address, "poison-"+mode)); err != nil {
			return fmt.Errorf("poison %s: %w", mode, err)
		}
	}
	return nil
}

// tooLong publishes a message that nobody has to take, and checks that it costs its sender the connection.
func (t *trial) tooLong(ctx context.Context, address, id string) error {
	conn, err := dialMQTT(ctx, address, id, true)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = publish(conn, "sensors/data", bytes.Repeat([]byte(" "), tooLong), false, false)
	if err == nil {
		return fmt.Errorf("a message of %d bytes was taken", tooLong)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("a message of %d bytes was neither taken, nor the connection closed: %w", tooLong, err)
	}
	return nil
}

// poisonTopic writes junk among good records to the readings' topic.
func poisonTopic(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	client, err := t.kafkaClient(kgo.ProducerBatchMaxBytes(1<<20 + 10_000))
	if err != nil {
		return err
	}
	defer client.Close()
	id, now := t.next, time.Now()
	t.next++
	var batch []*kgo.Record
	add := func(value []byte, headers ...kgo.RecordHeader) {
		batch = append(batch, &kgo.Record{Topic: topic, Key: []byte(id.String()), Value: value, Headers: headers})
	}
	for _, payload := range junk {
		add(payload)
		add(payload, kgo.RecordHeader{Key: "content-type", Value: []byte("application/x-protobuf")})
		add(payload, kgo.RecordHeader{Key: "content-type", Value: []byte("image/png")})
	}
	bad := len(batch)
	for i := range 2000 {
		if i%1000 == 500 {
			add([]byte(`{"device_id": 1, "temperature":`))
			bad++
			continue
		}
		add(t.neighbour(id, now.Add(time.Duration(i-2000)*time.Millisecond)))
	}
	t.rejected += int64(bad)
	t.junk += bad
	return client.ProduceSync(ctx, batch...).FirstErr()
}

// takeover connects in the name of a client that is connected: of the bridge to Mosquitto, and of devices to
// the listening bridge. It takes messages without acknowledging them.
func takeover(ctx context.Context, t *trial) error {
	lift := t.fault()
	defer lift()
	var errs []error
	for _, f := range t.fleets {
		address, id := t.devices[listen], fmt.Sprintf("faults-%s-%d-0", listen, f.first)
		again := func() (float64, error) { return float64(f.Report().Reconnects), nil }
		if f.mode == subscribe {
			address, id = "tcp://bridge:"+password+"@"+t.stack.addr("MQTT_PORT"), "telltale-bridge"
			again = func() (float64, error) {
				return t.services[bridgeSubscribe].counts(ctx, "telltale_bridge_connects_total")
			}
		}
		before, err := again()
		if err != nil {
			return err
		}
		conn, err := dialMQTT(ctx, address, id, false)
		if err != nil {
			return err
		}
		errs = append(errs, sleep(ctx, time.Second), conn.Close(), rises(ctx, before+1, again))
	}
	return errors.Join(errs...)
}

// rises waits until a count, of what the fault makes happen, is at least want.
func rises(ctx context.Context, want float64, count func() (float64, error)) error {
	return eventually(ctx, 30*time.Second, func() error {
		n, err := count()
		if err == nil && n < want {
			err = fmt.Errorf("the fault has no effect: a count is at %v, want %v", n, want)
		}
		return err
	})
}

// storm connects 2,000 devices to the listening bridge, and cuts all their connections at the same moment.
func storm(ctx context.Context, t *trial) error {
	if t.devices[listen] == "" {
		return fmt.Errorf("%w: the bridge does not listen", errNotHere)
	}
	if t.injected == 0 {
		crowd := fleetOf{devices: t.row.crowd, connections: t.row.crowd, rate: 0.2}
		begin := time.Now()
		f, err := t.addFleet(ctx, listen, crowd)
		if err != nil {
			return err
		}
		if err := eventually(ctx, time.Minute, func() error { return f.seen(ctx, t.api, begin) }); err != nil {
			return err
		}
	}
	crowd := t.fleets[len(t.fleets)-1]
	lift := t.fault()
	defer lift()
	before := crowd.Report().Reconnects
	return errors.Join(t.proxies["device-bridge"].refuse(), t.pause(ctx, 2*time.Second), t.proxies["device-bridge"].allow(),
		rises(ctx, float64(before)+float64(t.row.crowd), func() (float64, error) { return float64(crowd.Report().Reconnects), nil }))
}

// dialMQTT opens a session, with nothing behind it that would acknowledge or reconnect.
func dialMQTT(ctx context.Context, address, id string, clean bool) (net.Conn, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	connect := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	connect.ProtocolName, connect.ProtocolVersion, connect.Keepalive = "MQTT", 4, 30
	connect.ClientIdentifier, connect.CleanSession = id, clean
	if u.User != nil {
		connect.UsernameFlag, connect.PasswordFlag, connect.Username = true, true, u.User.Username()
		secret, _ := u.User.Password()
		connect.Password = []byte(secret)
	}
	if err := connect.Write(conn); err != nil {
		conn.Close()
		return nil, err
	}
	answer, err := packets.ReadPacket(conn)
	if ack, ok := answer.(*packets.ConnackPacket); err == nil && (!ok || ack.ReturnCode != packets.Accepted) {
		err = fmt.Errorf("client %s is not let in: %v", id, answer)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// publish sends a message at QoS 1 and waits for its acknowledgement.
func publish(conn net.Conn, topic string, payload []byte, retain, dup bool) error {
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload, p.Qos, p.Retain, p.Dup, p.MessageID = topic, payload, 1, retain, dup, 1
	if err := p.Write(conn); err != nil {
		return err
	}
	answer, err := packets.ReadPacket(conn)
	if err == nil && answer.Details().MessageID != 1 {
		err = errors.New("no acknowledgement but " + strconv.Quote(answer.String()))
	}
	return err
}
