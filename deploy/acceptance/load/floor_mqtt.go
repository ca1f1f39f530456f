package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The packets of MQTT 3.1.1 that floors and feeders know.
const (
	typeConnect     = 1
	typePublish     = 3
	typePuback      = 4
	typeSubscribe   = 8
	typeUnsubscribe = 10
	typePing        = 12
	typeDisconnect  = 14
)

var (
	connack  = []byte{2 << 4, 2, 0, 0}
	pingresp = []byte{13 << 4, 0}
)

// tick is how long a floor waits for more before it reads again, or acknowledges: few wake-ups are what it saves.
const tick = 10 * time.Millisecond

// mqttConn reads packets, and writes acknowledgements together.
type mqttConn struct {
	net.Conn
	r *bufio.Reader

	mu   sync.Mutex
	acks []byte
	wake chan struct{}
}

func newMQTTConn(c net.Conn) *mqttConn {
	return &mqttConn{Conn: c, r: bufio.NewReaderSize(c, 256<<10), wake: make(chan struct{}, 1)}
}

// next returns a packet's type and body, which is valid until the next call.
func (c *mqttConn) next() (kind byte, body []byte, err error) {
	first, err := c.r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	length := 0
	for shift := 0; ; shift += 7 {
		b, err := c.r.ReadByte()
		if err != nil {
			return 0, nil, err
		}
		if length |= int(b&0x7f) << shift; b < 0x80 {
			break
		}
	}
	if body, err = c.r.Peek(length); err != nil {
		return 0, nil, err
	}
	_, err = c.r.Discard(length)
	return first >> 4, body, err
}

// publication takes a PUBLISH at QoS 1 apart.
func publication(body []byte) (topic []byte, id uint16, payload []byte) {
	n := int(body[0])<<8 | int(body[1])
	topic, body = body[2:2+n], body[2+n:]
	return topic, uint16(body[0])<<8 | uint16(body[1]), body[2:]
}

func (c *mqttConn) acknowledge(id uint16) {
	c.mu.Lock()
	c.acks = append(c.acks, typePuback<<4, 2, byte(id>>8), byte(id))
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// writeAcks writes what is acknowledged, until ctx ends.
func (c *mqttConn) writeAcks(ctx context.Context) {
	var out []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		time.Sleep(tick)
		c.mu.Lock()
		out, c.acks = c.acks, out[:0]
		c.mu.Unlock()
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// read hands each publication to take, until the connection ends.
func (c *mqttConn) read(ctx context.Context, take func(topic []byte, id uint16, payload []byte)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	go c.writeAcks(ctx)
	for {
		if c.r.Buffered() == 0 {
			time.Sleep(tick)
		}
		switch kind, body, err := c.next(); {
		case err != nil:
			return err
		case kind == typeConnect:
			_, _ = c.Write(connack)
		case kind == typePublish:
			take(publication(body))
		case kind == typePing:
			_, _ = c.Write(pingresp)
		case kind == typeDisconnect:
			return io.EOF
		}
	}
}

// kafkaProducer returns a function that writes a value, and calls done when Kafka has it. It copies the value.
func kafkaProducer() (produce func(value []byte, done func()), close func(), err error) {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BROKERS"), ",")...), kgo.DefaultProduceTopic(os.Getenv("KAFKA_TOPIC")),
		kgo.ProducerLinger(tick), kgo.MaxBufferedRecords(100_000), kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		return nil, nil, err
	}
	return func(value []byte, done func()) {
		client.Produce(context.Background(), kgo.SliceRecord(append([]byte(nil), value...)), func(_ *kgo.Record, err error) {
			if err == nil {
				done()
			}
		})
	}, client.Close, nil
}

// subscribeToKafka reads from a broker, and acknowledges what Kafka has.
func subscribeToKafka(ctx context.Context, ready func()) error {
	produce, closeProducer, err := kafkaProducer()
	if err != nil {
		return err
	}
	defer closeProducer()
	u, err := url.Parse(os.Getenv("MQTT_URL"))
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	c := newMQTTConn(conn)
	if err := c.subscribe(u.User, os.Getenv("MQTT_CLIENT_ID"), os.Getenv("MQTT_TOPICS")); err != nil {
		return errors.Join(err, conn.Close())
	}
	ready()
	err = c.read(ctx, func(_ []byte, id uint16, payload []byte) { produce(payload, func() { c.acknowledge(id) }) })
	return errors.Join(ctx.Err(), ignoreClosed(err))
}

// subscribe opens a session that stays, and subscribes in it.
func (c *mqttConn) subscribe(user *url.Userinfo, clientID, topics string) error {
	flags := byte(0)
	fields := []string{clientID}
	if user != nil {
		password, _ := user.Password()
		flags |= 0xc0
		fields = append(fields, user.Username(), password)
	}
	connect := append(mqttString(nil, "MQTT"), 4, flags, 0, 0)
	for _, field := range fields {
		connect = mqttString(connect, field)
	}
	subscribe := append(mqttString([]byte{0, 1}, topics), 1)
	packets := append([]byte{typeConnect << 4, byte(len(connect))}, connect...)
	packets = append(append(packets, typeSubscribe<<4|2, byte(len(subscribe))), subscribe...)
	if _, err := c.Write(packets); err != nil {
		return err
	}
	_, body, err := c.next() // SUBACK may come behind the first messages, and read passes it over
	if err == nil && (len(body) < 2 || body[1] != 0) {
		err = errors.New("the broker refuses the connection")
	}
	return err
}

func mqttString(dst []byte, s string) []byte {
	return append(append(dst, byte(len(s)>>8), byte(len(s))), s...)
}

// endpointToKafka is the endpoint of devices.
func endpointToKafka(ctx context.Context, ready func()) error {
	produce, closeProducer, err := kafkaProducer()
	if err != nil {
		return err
	}
	defer closeProducer()
	return serveDevices(ctx, ready, func(c *mqttConn) error {
		return c.read(ctx, func(_ []byte, id uint16, payload []byte) { produce(payload, func() { c.acknowledge(id) }) })
	})
}

// serveDevices accepts connections at MQTT_LISTEN_ADDR.
func serveDevices(ctx context.Context, ready func(), serve func(*mqttConn) error) error {
	l, err := net.Listen("tcp", os.Getenv("MQTT_LISTEN_ADDR"))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	ready()
	for {
		conn, err := l.Accept()
		if err != nil {
			return errors.Join(ctx.Err(), ignoreClosed(err))
		}
		go func() { _ = serve(newMQTTConn(conn)) }()
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
