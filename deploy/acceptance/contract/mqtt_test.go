package contract

import (
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// connect returns an MQTT 3.1.1 client.
func connect(t *testing.T) mqtt.Client { t.Helper(); return connectTo(t, sut.mqtt) }

func connectTo(t *testing.T, address string) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(address).SetProtocolVersion(4).
		SetClientID(fmt.Sprintf("contract-%x", newDevice())).SetAutoReconnect(false).SetConnectTimeout(testTimeout).SetOrderMatters(false))
	wait(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

// dialBroker opens a connection to where devices publish, and says as whom.
func dialBroker(t *testing.T) (net.Conn, *url.Userinfo) {
	t.Helper()
	u, err := url.Parse(sut.mqtt)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", u.Host, testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn, u.User
}

// wait returns when the token's message is acknowledged.
func wait(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(testTimeout) {
		t.Fatalf("no acknowledgement within %v", testTimeout)
	}
	if err := token.Error(); err != nil {
		t.Fatal(err)
	}
}

// publish returns when the messages are acknowledged, at QoS 1.
func publish(t *testing.T, topic string, payloads ...string) {
	t.Helper()
	c := connect(t)
	for _, payload := range payloads {
		wait(t, c.Publish(topic, 1, false, payload))
	}
}

// topicOf is the topic of one device alone.
func topicOf(device int64) string { return fmt.Sprintf("sensors/%d/data", device) }

// at returns the nth second of a day long ago, as devices write it.
func at(n int) string {
	return time.Date(2024, 2, 29, 0, 0, n, 0, time.UTC).Format(time.RFC3339)
}
