package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	feedTopics   = "bench/+/data"
	feedInFlight = 20_000
)

// feeder stands for an MQTT broker with a queue for its one subscriber, to whom it sends everything as fast as it is
// acknowledged.
type feeder struct {
	url      string
	listener net.Listener
	fed      chan error // how the connection ended
}

// startFeeder waits for a subscriber, and sends it n readings.
func startFeeder(ctx context.Context, n int) (*feeder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &feeder{url: "tcp://" + l.Addr().String(), listener: l, fed: make(chan error, 1)}
	go func() {
		conn, err := l.Accept()
		if err == nil {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			err = feed(newMQTTConn(conn), n)
		}
		f.fed <- err
	}()
	return f, nil
}

// stop returns when the subscriber has gone.
func (f *feeder) stop() error {
	f.listener.Close()
	return ignoreClosed(<-f.fed)
}

func feed(c *mqttConn, n int) error {
	acknowledged := make(chan int, feedInFlight) // never full: there are no more in flight
	sending := make(chan error, 1)
	begun := false
	for {
		switch kind, body, err := c.next(); {
		case err != nil:
			if !begun {
				return err
			}
			close(acknowledged)
			return <-sending
		case kind == typeConnect:
			_, err = c.Write(connack)
			if err != nil {
				return err
			}
		case kind == typeSubscribe:
			if _, err := c.Write([]byte{9 << 4, 3, body[0], body[1], 1}); err != nil {
				return err
			}
			if !begun {
				begun = true
				go func() { sending <- sendReadings(c, n, acknowledged) }()
			}
		case kind == typeUnsubscribe:
			if _, err := c.Write([]byte{11 << 4, 2, body[0], body[1]}); err != nil {
				return err
			}
		case kind == typePuback:
			acknowledged <- 1
		case kind == typePing:
			if _, err := c.Write(pingresp); err != nil {
				return err
			}
		}
	}
}

func sendReadings(c *mqttConn, n int, acknowledged <-chan int) error {
	const batch = 200
	inFlight := 0
	var out, payload []byte
	for sent := 0; sent < n; {
		for inFlight > feedInFlight-batch {
			if _, more := <-acknowledged; !more {
				return errors.New("the subscriber has left before it had everything")
			}
			inFlight--
		}
		out = out[:0]
		for range min(batch, n-sent) {
			id := uint16(sent%65535) + 1
			r := reading(sent)
			payload = appendPayload(payload[:0], r)
			out = appendPublish(out, "bench/"+r.Device.String()+"/data", id, payload)
			sent++
			inFlight++
		}
		if _, err := c.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// appendPublish appends a PUBLISH at QoS 1, of less than 16 KiB.
func appendPublish(dst []byte, topic string, id uint16, payload []byte) []byte {
	length := 2 + len(topic) + 2 + len(payload)
	dst = append(dst, typePublish<<4|2)
	if length < 1<<7 {
		dst = append(dst, byte(length))
	} else {
		dst = append(dst, byte(length)|0x80, byte(length>>7))
	}
	dst = append(mqttString(dst, topic), byte(id>>8), byte(id))
	return append(dst, payload...)
}

// appendPayload appends a reading in the form that devices have always sent.
func appendPayload(dst []byte, r iot.Reading) []byte {
	dst = fmt.Appendf(dst, `{"device_id":%d`, r.Device)
	for _, m := range r.Metrics {
		dst = fmt.Appendf(dst, `,"%s":%g`, m.Name, m.Value)
	}
	dst = append(dst, `,"timestamp":"`...)
	dst = readingjson.AppendTime(dst, r.At)
	return append(dst, `"}`...)
}
