package bridge_test

import (
	"errors"
	"net"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

// Where other machines connect without TLS, passwords would pass in the clear: the bridge ends, once it knows that the site asks for them.
func TestPasswordsInTheClear(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		mode  auth.Mode
		moved bool
		word  tlsfiles.Mode
		ends  bool
	}{
		{"a new site", auth.Auto, false, tlsfiles.Unset, true},
		{"all need credentials", auth.On, true, tlsfiles.Unset, true},
		{"a site from before", auth.Auto, true, tlsfiles.Unset, false},
		{"the word is given", auth.Auto, false, tlsfiles.Off, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, cfg := newKafka(t), withAuth(tt.mode)
			cfg.Clear.TLS = tt.word
			k.know(hasPassword(1, "7", 7))
			k.put(event.SiteRecord(k.cfg.CredentialsTopic(), event.Site{Moved: tt.moved}))
			l, err := net.Listen("tcp", ":0")
			if err != nil {
				t.Fatal(err)
			}
			if tt.ends {
				b := &bridge.Bridge{
					Config: cfg, Kafka: k.cfg, Listener: l, Log: testLog(t), Metrics: prometheus.NewRegistry(),
					Health: daemon.NewHealth(testLog(t), prometheus.NewRegistry()),
				}
				var wrong *daemon.ConfigError
				if err := b.Run(t.Context()); !errors.As(err, &wrong) || wrong.Variable != "MQTT_LISTEN_ADDR" {
					t.Errorf("it ends with %v", err)
				}
				return
			}
			start(t, k, cfg, l)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			code := byte(packets.ErrRefusedServerUnavailable) // until it knows who has credentials
			for code == packets.ErrRefusedServerUnavailable {
				code = answer(t, net.JoinHostPort("127.0.0.1", port), as("7", "client"))
			}
			if code != packets.Accepted {
				t.Errorf("a device is answered %d", code)
			}
		})
	}
}
