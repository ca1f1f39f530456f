package bridge

import (
	"errors"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

func validConfig() Config {
	return Config{
		URL: "tcp://localhost:1883", Topics: []string{"sensors/data"},
		MaxConnections: 10000, MaxPacketBytes: 1 << 20,
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name     string
		change   func(*Config)
		variable string // that the error names; "" for none
	}{
		{"the defaults", func(*Config) {}, ""},
		{"a user and TLS", func(c *Config) { c.URL = "mqtts://me:secret@broker" }, ""},
		{"a listener on a free port", func(c *Config) { c.ListenAddr = "127.0.0.1:0" }, ""},
		{"a listener needs no broker", func(c *Config) { c.ListenAddr, c.URL = ":1883", "nonsense" }, ""},
		{"a password beside the URL", func(c *Config) { c.URL, c.Security.Password = "tcp://me@broker", "secret" }, ""},
		{"a password without a name", func(c *Config) { c.Security.Password = "secret" }, "MQTT_USERNAME"},
		{"a file for TLS without TLS", func(c *Config) { c.Security.Files.CA = "ca.pem" }, "MQTT_URL"},
		{"a certificate to show to nobody", func(c *Config) { c.ListenCert, c.ListenKey = "a", "b" }, "MQTT_LISTEN_CERT_FILE"},
		{"a certificate without its key", func(c *Config) { c.ListenAddr, c.ListenCert = ":8883", "a" }, "MQTT_LISTEN_CERT_FILE"},
		{"a certificate that is not there", func(c *Config) { c.ListenAddr, c.ListenCert, c.ListenKey = ":8883", "a", "b" }, "MQTT_LISTEN_CERT_FILE"},
		{"authorities of devices without a certificate to show", func(c *Config) { c.ListenAddr, c.ListenClientCA = ":8883", "a" }, "MQTT_LISTEN_CLIENT_CA_FILE"},
		{"no URL", func(c *Config) { c.URL = "localhost:1883" }, "MQTT_URL"},
		{"an unknown scheme", func(c *Config) { c.URL = "http://me:secret@localhost" }, "MQTT_URL"},
		{"no host", func(c *Config) { c.URL = "tcp://:1883" }, "MQTT_URL"},
		{"an address without a port", func(c *Config) { c.ListenAddr = "localhost" }, "MQTT_LISTEN_ADDR"},
		{"a port that is no number", func(c *Config) { c.ListenAddr = "localhost:mqtt" }, "MQTT_LISTEN_ADDR"},
		{"a port out of range", func(c *Config) { c.ListenAddr = ":65536" }, "MQTT_LISTEN_ADDR"},
		{"a filter that is none", func(c *Config) { c.Topics = []string{"a", "b/#/c"} }, "MQTT_TOPICS"},
		{"a client id with a NUL", func(c *Config) { c.ClientID = "a\x00" }, "MQTT_CLIENT_ID"},
		{"no connections", func(c *Config) { c.MaxConnections = 0 }, "MQTT_MAX_CONNECTIONS"},
		{"packets too short for any reading", func(c *Config) { c.MaxPacketBytes = 10 }, "MQTT_MAX_PACKET_BYTES"},
		{"packets longer than MQTT's", func(c *Config) { c.MaxPacketBytes = 1 << 30 }, "MQTT_MAX_PACKET_BYTES"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := validConfig()
			tt.change(&c)
			err := c.Validate()
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
	c.ListenAddr = ":8883"
	c.ListenCert, c.ListenKey = ca.Write(t, dir, "bridge")
	c.ListenClientCA = ca.WriteCA(t, dir)
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	c.ListenClientCA = c.ListenKey // no certificate in it
	var bad *daemon.ConfigError
	if err := c.Validate(); !errors.As(err, &bad) || bad.Variable != "MQTT_LISTEN_CLIENT_CA_FILE" {
		t.Errorf("got %v, want an error about MQTT_LISTEN_CLIENT_CA_FILE", err)
	}
}

func TestParseBroker(t *testing.T) {
	for in, want := range map[string]string{
		"tcp://localhost":       "tcp://localhost:1883",
		"mqtt://host:1884":      "tcp://host:1884",
		"mqtts://u:p@host":      "tls://u:p@host:8883",
		"tls://[::1]":           "tls://[::1]:8883",
		"ssl://broker.test:443": "tls://broker.test:443",
	} {
		u, err := parseBroker(in)
		if err != nil || u.String() != want {
			t.Errorf("parseBroker(%q) = %v, %v; want %s", in, u, err, want)
		}
	}
}

func TestClientID(t *testing.T) {
	c := Config{ClientID: "mine"}
	if id, err := c.clientID(); id != "mine" || err != nil {
		t.Errorf("got %q, %v, want the one that was set", id, err)
	}
	id, err := Config{}.clientID()
	if err != nil || !strings.HasPrefix(id, "telltale-bridge-") || id == "telltale-bridge-" {
		t.Errorf("got %q, %v, want one with the host's name", id, err)
	}
}
