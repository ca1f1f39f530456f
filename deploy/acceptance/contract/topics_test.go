package contract

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/eclipse/paho.golang/paho"
)

func TestTopics(t *testing.T) {
	for _, test := range []struct{ name, topic, payload string }{ // D is the device
		{"sensors/data, the device in the payload", "sensors/data", `{"device_id": D, "temperature": 1}`},
		{"sensors/data, the device as a numeric string", "sensors/data", `{"device_id": "D", "temperature": 1}`},
		{"sensors/{device_id}/data, no device in the payload", "sensors/D/data", `{"temperature": 1}`},
		{"sensors/{device_id}/data, the same device in the payload", "sensors/D/data", `{"device_id": D, "temperature": 1}`},
		{"sensors/{device_id}/data, the same device as a numeric string", "sensors/D/data", `{"device_id": "D", "temperature": 1}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			device := newDevice()
			fill := strings.NewReplacer("D", strconv.FormatInt(device, 10))
			publish(t, fill.Replace(test.topic), fill.Replace(test.payload))
			produced(t, device, 1)
			waitForConsumers(t)
			if got := readingsOf(t, device); len(got) != 1 {
				t.Errorf("%d readings, want 1: %v", len(got), got)
			}
		})
	}
}

func TestMQTT5(t *testing.T) {
	if !sut.listen {
		t.Log("MQTT 5 is promised where Telltale itself listens")
		return
	}
	for _, test := range []struct {
		name string
		qos  byte
	}{
		{"QoS 0", 0}, {"QoS 1 is acknowledged as a success", 1}, {"QoS 2 is acknowledged as a success", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			device := newDevice()
			c := connect5(t)
			response, err := c.Publish(t.Context(), &paho.Publish{Topic: topicOf(device), QoS: test.qos, Payload: []byte(`{"temperature": 1}`),
				Properties: &paho.PublishProperties{ContentType: "application/json", User: paho.UserProperties{{Key: "a", Value: "b"}}}})
			if err != nil {
				t.Fatal(err)
			}
			if response != nil && response.ReasonCode != 0 {
				t.Errorf("reason code %#x, want success", response.ReasonCode)
			}
			produced(t, device, 1)
			waitForConsumers(t)
			if got := readingsOf(t, device); len(got) != 1 {
				t.Errorf("%d readings, want 1: %v", len(got), got)
			}
		})
	}
	t.Run("what is rejected is acknowledged, and does not come again", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		c := connect5(t)
		if _, err := c.Publish(t.Context(), &paho.Publish{Topic: topicOf(device), QoS: 1, Payload: []byte(`no reading`)}); err != nil {
			t.Fatal(err)
		}
		waitForDeadLetters(t, topicOf(device), 1)
	})
}

// TestIgnored: what nobody reads is acknowledged, and MQTT 5 says that.
func TestIgnored(t *testing.T) {
	if !sut.listen {
		t.Log("a broker acknowledges by itself")
		return
	}
	for _, qos := range []byte{1, 2} {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			topic := fmt.Sprintf("/sensors/%d/data", newDevice())
			response, err := connect5(t).Publish(t.Context(), &paho.Publish{Topic: topic, QoS: qos, Payload: []byte(`{"temperature": 1}`)})
			if err != nil {
				t.Fatal(err)
			}
			const noMatchingSubscribers = 0x10
			if qos == 1 && response.ReasonCode != noMatchingSubscribers { // the client library does not tell that of QoS 2
				t.Errorf("reason code %#x, want %#x", response.ReasonCode, noMatchingSubscribers)
			}
		})
	}
}

// connect5 returns an MQTT 5 client.
func connect5(t *testing.T) *paho.Client {
	t.Helper()
	conn, user := dialBroker(t)
	hello := &paho.Connect{ClientID: fmt.Sprintf("contract-%x", newDevice()), CleanStart: true, KeepAlive: 30}
	if user != nil {
		password, _ := user.Password()
		hello.UsernameFlag, hello.Username, hello.PasswordFlag, hello.Password = true, user.Username(), true, []byte(password)
	}
	c := paho.NewClient(paho.ClientConfig{Conn: conn})
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if _, err := c.Connect(ctx, hello); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Disconnect(&paho.Disconnect{}) })
	return c
}

func TestRetained(t *testing.T) {
	const undated = `{"temperature": 1}`
	dated := fmt.Sprintf(`{"temperature": 1, "timestamp": %q}`, at(1))
	t.Run("a device that sets RETAIN, and publishes to Telltale itself, sends readings like any other", func(t *testing.T) {
		if !sut.listen {
			t.Log("a broker hands a retained message on as such only to new subscriptions")
			return
		}
		t.Parallel()
		device := newDevice()
		wait(t, connect(t).Publish(topicOf(device), 1, true, undated))
		produced(t, device, 1)
		waitForConsumers(t)
		if got := readingsOf(t, device); len(got) != 1 {
			t.Errorf("%d readings, want 1", len(got))
		}
	})
	t.Run("a retained message with a timestamp is a reading", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		c := connect(t)
		wait(t, c.Publish(topicOf(device), 1, true, dated))
		defer func() { wait(t, c.Publish(topicOf(device), 1, true, "")) }() // or a broker keeps it for ever
		produced(t, device, 1)
		waitForConsumers(t)
		if got := readingsOf(t, device); len(got) != 1 {
			t.Errorf("%d readings, want 1", len(got))
		}
	})
}
