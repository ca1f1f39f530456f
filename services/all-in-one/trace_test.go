package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// traced is what /api/devices/{id}/trace/ says, as far as the test looks.
type traced struct {
	Registered  bool
	Status      string
	Listens     bool
	Connections []struct {
		Client   string `json:"client_id"`
		Address  string
		Protocol string
		Until    *time.Time
	}
	Last *struct {
		Topic   string
		Client  *string `json:"client_id"`
		Outcome string
	} `json:"last_message"`
	DeadLetters []struct{ Reason string } `json:"dead_letters"`
	LastStored  *reading                  `json:"last_stored"`
	NearMisses  []struct{ Topic string }  `json:"near_misses"`
	Hints       []string
}

// TestTrace: a device that does not appear, from its first connection until it does.
func TestTrace(t *testing.T) {
	s := freeAddrs(t)
	p := start(t, t.TempDir(), s)
	var got traced
	await := func(what, hint string, holds func() bool) {
		t.Helper()
		eventually(t, 30*time.Second, what, func() bool {
			got = traced{}
			_, err := p.get("/api/devices/kitchen-1/trace/", &got)
			return err == nil && len(got.Hints) > 0 && strings.HasPrefix(got.Hints[0], hint) && holds()
		})
	}
	await("nobody knows it", "No message that names it is known.", func() bool {
		return got.Listens && !got.Registered && got.Status == "never" && got.Last == nil && got.LastStored == nil &&
			slices.ContainsFunc(got.Hints, func(h string) bool { return strings.HasPrefix(h, "No client is known whose id or user is kitchen-1") })
	})
	c := connect(t, s["MQTT_LISTEN_ADDR"], "kitchen-1")
	publish := func(topic, payload string) {
		t.Helper()
		if token := c.Publish(topic, 1, false, payload); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatalf("no PUBACK on %s: %v", topic, token.Error())
		}
	}
	await("it is connected", "Its client kitchen-1 is connected since ", func() bool {
		return len(got.Connections) == 1 && got.Connections[0].Protocol == "MQTT 3.1.1" && strings.HasPrefix(got.Connections[0].Address, "127.0.0.1:")
	})
	publish("sensor/kitchen-1/data", `{"temperature": 21.5}`)
	await("nobody reads it", "It publishes on sensor/kitchen-1/data, which nobody reads: did you mean sensors/kitchen-1/data?", func() bool {
		return got.Last != nil && got.Last.Outcome == "ignored" && len(got.NearMisses) == 1
	})
	publish("sensors/kitchen-1/data", `{"temperature": 21.5`)
	await("it is a dead letter", "Its last message, on sensors/kitchen-1/data ", func() bool {
		return got.Last.Outcome == "dead_letter" && got.Last.Client != nil && *got.Last.Client == "kitchen-1" && len(got.DeadLetters) == 1 &&
			got.DeadLetters[0].Reason == "invalid_json"
	})
	publish("sensors/kitchen-1/data", `{"temperature": 21.5}`)
	await("it is a reading", "Nothing is wrong that Telltale knows of", func() bool {
		return got.Last.Outcome == "reading" && got.Registered && got.Status == "online" && got.LastStored != nil
	})
	c.Disconnect(100)
	await("it has left", "", func() bool { return len(got.Connections) == 1 && got.Connections[0].Until != nil })
}
