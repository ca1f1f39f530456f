package bridge_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

// The state topics that configs name are subscribed to, over each connection; one that the broker refuses costs nothing else.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	k, broker := newKafka(t), newBroker(t)
	broker.subscribe(k, func(cfg *bridge.Config) { cfg.Topics = nil })
	d := broker.session()
	config := func(object, state string) {
		t.Helper()
		p := publication(0, 0, "homeassistant/sensor/"+object+"/config", `{"dev":{"ids":"attic"},"stat_t":"`+state+`"}`)
		p.Retain = true
		d.send(p)
	}
	follows := func(code byte, want map[string]byte) {
		t.Helper()
		if diff := cmp.Diff(want, d.subscribed(code)); diff != "" {
			t.Errorf("subscriptions (-want +got):\n%s", diff)
		}
	}
	const refused = 0x80
	config("secret", "my/secret")
	follows(refused, map[string]byte{"my/secret": 1})
	config("temperature", "my/temperature")
	follows(1, map[string]byte{"my/temperature": 1})
	d.publish(1, 1, "my/temperature", "21.5")
	d.wantAcks(1)
	if r := k.readings(1)[0]; r.Key != "attic" {
		t.Errorf("%+v", r)
	}
	_ = d.conn.Close()
	d = broker.session()
	follows(1, map[string]byte{"my/secret": 1, "my/temperature": 1})
}
