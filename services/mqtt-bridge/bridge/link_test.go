package bridge

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// grantAll plays a broker on the connections of l that grants whatever it is asked for, and sends nothing else.
func grantAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			for {
				p, err := packets.ReadPacket(c)
				if err != nil {
					return
				}
				switch p := p.(type) {
				case *packets.ConnectPacket:
					_ = packets.NewControlPacket(packets.Connack).Write(c)
				case *packets.SubscribePacket:
					granted := packets.NewControlPacket(packets.Suback).(*packets.SubackPacket)
					granted.MessageID, granted.ReturnCodes = p.MessageID, p.Qoss
					_ = granted.Write(c)
				case *packets.UnsubscribePacket:
					done := packets.NewControlPacket(packets.Unsuback).(*packets.UnsubackPacket)
					done.MessageID = p.MessageID
					_ = done.Write(c)
				}
			}
		}()
	}
}

// When an acknowledgement cannot be written, conn closes itself; that the reader had noticed nothing until then
// must not keep the bridge waiting.
func TestLinkIsLostWhenItsConnectionIsClosedHere(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = broker.Close() }()
	go grantAll(broker)
	s, err := newSubscriber(Config{URL: "tcp://" + broker.Addr().String(), ClientID: "a"}, testEndpoint(t).pipe)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = l.conn.Close()
	select {
	case err := <-l.lost:
		if !errors.Is(err, errClosedHere) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the end of the connection is not noticed")
	}
}
