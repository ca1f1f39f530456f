package bridge

import (
	"errors"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/listen"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/subscribe"
)

func validConfig() Config {
	return Config{
		Topics: []string{"sensors/data"},
		Broker: subscribe.Config{URL: "tcp://localhost:1883"},
		Listen: listen.Config{MaxConnections: 10000, MaxPacketBytes: 1 << 20},
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name     string
		change   func(*Config)
		variable string // that the error names; "" for none
	}{
		{"the defaults", func(*Config) {}, ""},
		{"a user and TLS", func(c *Config) { c.Broker.URL = "mqtts://me:secret@broker" }, ""},
		{"a listener on a free port", func(c *Config) { c.Listen.Addr = "127.0.0.1:0" }, ""},
		{"a listener needs no broker", func(c *Config) { c.Listen.Addr, c.Broker.URL = ":1883", "nonsense" }, ""},
		{"a password beside the URL", func(c *Config) { c.Broker.URL, c.Broker.Security.Password = "tcp://me@broker", "secret" }, ""},
		{"a password without a name", func(c *Config) { c.Broker.Security.Password = "secret" }, "MQTT_USERNAME"},
		{"a file for TLS without TLS", func(c *Config) { c.Broker.Security.Files.CA = "ca.pem" }, "MQTT_URL"},
		{"a certificate to show to nobody", func(c *Config) { c.Listen.Files.Cert, c.Listen.Files.Key = "a", "b" }, "MQTT_LISTEN_CERT_FILE"},
		{"authorities of devices without a certificate to show", func(c *Config) { c.Listen.Addr, c.Listen.ClientCA = ":8883", "a" }, "MQTT_LISTEN_CLIENT_CA_FILE"},
		{"no URL", func(c *Config) { c.Broker.URL = "localhost:1883" }, "MQTT_URL"},
		{"an unknown scheme", func(c *Config) { c.Broker.URL = "http://me:secret@localhost" }, "MQTT_URL"},
		{"no host", func(c *Config) { c.Broker.URL = "tcp://:1883" }, "MQTT_URL"},
		{"an address without a port", func(c *Config) { c.Listen.Addr = "localhost" }, "MQTT_LISTEN_ADDR"},
		{"WebSockets on a free port", func(c *Config) { c.Listen.Addr, c.Listen.WebSocketAddr = ":1883", "127.0.0.1:0" }, ""},
		{"WebSockets without MQTT", func(c *Config) { c.Listen.WebSocketAddr = ":9001" }, "MQTT_WS_LISTEN_ADDR"},
		{"WebSockets without a port", func(c *Config) { c.Listen.Addr, c.Listen.WebSocketAddr = ":1883", "localhost" }, "MQTT_WS_LISTEN_ADDR"},
		{"a port that is no number", func(c *Config) { c.Listen.Addr = "localhost:mqtt" }, "MQTT_LISTEN_ADDR"},
		{"a port out of range", func(c *Config) { c.Listen.Addr = ":65536" }, "MQTT_LISTEN_ADDR"},
		{"no filters: those of the rules", func(c *Config) { c.Topics = nil }, ""},
		{"rules that do not exist", func(c *Config) { c.Mapping.Mappings = []string{"tasmata"} }, "MAPPINGS"},
		{"a zone that does not exist", func(c *Config) { c.Mapping.Zone = "Mars/Base" }, "DEVICE_TIME_ZONE"},
		{"a filter that is none", func(c *Config) { c.Topics = []string{"a", "b/#/c"} }, "MQTT_TOPICS"},
		{"a client id with a NUL", func(c *Config) { c.Broker.ClientID = "a\x00" }, "MQTT_CLIENT_ID"},
		{"no connections", func(c *Config) { c.Listen.MaxConnections = 0 }, "MQTT_MAX_CONNECTIONS"},
		{"packets too short for any reading", func(c *Config) { c.Listen.MaxPacketBytes = 10 }, "MQTT_MAX_PACKET_BYTES"},
		{"packets longer than MQTT's", func(c *Config) { c.Listen.MaxPacketBytes = 1 << 30 }, "MQTT_MAX_PACKET_BYTES"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := validConfig()
			tt.change(&c)
			err := errors.Join(c.Listen.Validate(), c.Validate())
			var bad *daemon.ConfigError
			switch {
			case tt.variable == "" && err != nil:
				t.Error(err)
			case tt.variable != "" && (!errors.As(err, &bad) || bad.Variable != tt.variable):
				t.Errorf("got %v, want an error about %s", err, tt.variable)
			case tt.variable != "" && strings.Contains(err.Error(), "secret"):
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestValidateClientCA(t *testing.T) {
	ca, dir := tlsfilestest.New(t), t.TempDir()
	c := validConfig()
	c.Listen.Addr = ":8883"
	c.Listen.Files.Cert, c.Listen.Files.Key = ca.Write(t, dir, "bridge")
	c.Listen.ClientCA = ca.WriteCA(t, dir)
	if err := errors.Join(c.Listen.Validate(), c.Validate()); err != nil {
		t.Error(err)
	}
	c.Listen.ClientCA = c.Listen.Files.Key // no certificate in it
	var bad *daemon.ConfigError
	if err := errors.Join(c.Listen.Validate(), c.Validate()); !errors.As(err, &bad) || bad.Variable != "MQTT_LISTEN_CLIENT_CA_FILE" {
		t.Errorf("got %v, want an error about MQTT_LISTEN_CLIENT_CA_FILE", err)
	}
}
