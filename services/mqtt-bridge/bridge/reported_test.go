package bridge_test

import (
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/listen"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/subscribe"
)

// TestReported: the bridge says where devices publish, and no passwords.
func TestReported(t *testing.T) {
	open := func(addr string) net.Listener {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	local, all := open("127.0.0.1:0"), open(":0")
	_, port, _ := strings.Cut(strings.TrimPrefix(all.Addr().String(), "[::]"), ":")
	for name, tt := range map[string]struct {
		bridge *bridge.Bridge
		want   event.Endpoint
	}{
		"on an address": {&bridge.Bridge{Listener: local}, event.Endpoint{Listens: true, Address: local.Addr().String()}},
		"on all, with TLS and WebSocket": {
			&bridge.Bridge{Listener: all, WebSocket: &listen.WebSocket{Listener: local}, Config: bridge.Config{Listen: listen.Config{Files: tlsfiles.Listener{Cert: "cert.pem"}}}},
			event.Endpoint{Listens: true, Address: ":" + port, TLS: true, WebSocket: local.Addr().String()},
		},
		"of a broker": {
			&bridge.Bridge{Config: bridge.Config{Broker: subscribe.Config{URL: "tls://user:secret@broker.example"}}},
			event.Endpoint{Address: "broker.example:8883", TLS: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(&tt.want, tt.bridge.Reported().MQTT); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
