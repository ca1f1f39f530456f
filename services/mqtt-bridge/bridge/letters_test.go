package bridge_test

import (
	"testing"

	"github.com/telltale-iot/telltale/pkg/auth"
)

// A dead letter is its sender's, whatever device its topic, its payload or somebody's config names: whose device that is would
// be shown what another sent.
func TestLettersOfSenders(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	cfg := withAuth(auth.On)
	cfg.Topics = nil // all
	b := secured(t, k, cfg, hasPassword(1, "7", 7), hasPassword(2, "8", 8), hasPassword(3, "gateway", 8, 9))
	seven := connect(t, b.addr, as("7", "seven"))
	seven.publish(1, 1, "homeassistant/sensor/t/config", `{"name": "t", "state_topic": "eight/state", "device": {"identifiers": ["7"]}}`)
	seven.wantAcks(1)

	for user, publications := range map[string][]struct{ topic, payload string }{
		"8": {
			{"eight/state", "21"},   // is claimed by a config of another
			{"eight/state", "{"},    // also where nobody can read it
			{"sensors/7/data", "{"}, // the topic names another
			{"sensors/7/data", "[{}]"},
			{"sensors/data", `{"device_id": 7, "temperature": 1}`},
			{"sensors/data", "{"}, // nothing names one
		},
		"gateway": {
			{"sensors/7/data", "{"},
			{"sensors/data", `{"temperature": 1}`},
		},
	} {
		d := connect(t, b.addr, as(user, user))
		for i, p := range publications {
			d.publish(1, i+1, p.topic, p.payload)
			d.wantAcks(i + 1)
		}
	}
	of := map[string]string{"8": "8", "gateway": ""} // of several devices it is nobody's
	for _, rec := range k.awaitDeadLetters(8) {
		if want := of[string(rec.Header("principal"))]; string(rec.Key) != want || rec.Header("device_id") != nil {
			t.Errorf("%s on %s of %s is a dead letter of device %q, want %q", rec.Value, rec.Header("source"), rec.Header("principal"), rec.Key, want)
		}
	}
	b.conserved()
}
