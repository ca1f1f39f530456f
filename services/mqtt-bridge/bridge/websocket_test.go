package bridge_test

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/listen"
)

// A client of MQTT over WebSocket is one like any other: it gets acknowledgements after Kafka's, and what it subscribes to.
func TestListenOverWebSocket(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			k, cfg := newKafka(t), defaults()
			trust := &tls.Config{}
			if scheme == "wss" {
				ca, dir := tlsfilestest.New(t), t.TempDir()
				cfg.Listen.Files.Cert, cfg.Listen.Files.Key = ca.Write(t, dir, "bridge", "127.0.0.1")
				trust.RootCAs = pool(t, ca.WriteCA(t, dir))
			}
			var listeners [2]net.Listener
			for i := range listeners {
				var err error
				if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
					t.Fatal(err)
				}
			}
			b := &testBridge{t: t, metrics: prometheus.NewRegistry()}
			guard := httpguard.New(httpguard.Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			b.Bridge = &bridge.Bridge{
				Config: cfg, Kafka: k.cfg, Listener: listeners[0], Log: testLog(t), Metrics: b.metrics,
				WebSocket: &listen.WebSocket{Listener: listeners[1], Guard: guard},
				Health:    daemon.NewHealth(testLog(t), prometheus.NewRegistry()),
			}
			b.stop = background(t, b.Run)

			url := fmt.Sprintf("%s://%s/mqtt", scheme, listeners[1].Addr())
			client := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID("web").SetTLSConfig(trust).SetOrderMatters(false))
			await := func(token paho.Token) {
				t.Helper()
				if !token.WaitTimeout(testTimeout) || token.Error() != nil {
					t.Fatalf("%T: %v", token, token.Error())
				}
			}
			await(client.Connect())
			defer client.Disconnect(0)
			seen := make(chan string, 1000)
			await(client.Subscribe("sensors/#", 0, func(_ paho.Client, m paho.Message) { seen <- m.Topic() }))
			const messages = 500
			var tokens []paho.Token
			for i := range messages {
				tokens = append(tokens, client.Publish("sensors/data", byte(1+i%2), false, reading(1, i)))
			}
			for _, token := range tokens {
				await(token)
			}
			if n := len(k.different(messages)); n != messages {
				t.Errorf("%d readings in Kafka, want %d", n, messages)
			}
			for range messages {
				<-seen
			}
			b.conserved()
		})
	}
}
