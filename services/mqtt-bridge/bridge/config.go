package bridge

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/daemon"
)

// Config are the settings of the bridge. The tags are for package settings.
type Config struct {
	URL            string `env:"MQTT_URL" default:"tcp://localhost:1883" help:"Broker to subscribe to: tcp:// or tls://, with user:password@ where it asks for them. Not used when --mqtt-listen-addr is set."`
	Security       Security
	ListenAddr     string   `env:"MQTT_LISTEN_ADDR" help:"Be the MQTT endpoint itself, on this host:port, instead of subscribing to a broker."`
	ListenCert     string   `env:"MQTT_LISTEN_CERT_FILE" help:"PEM file of the certificate to show to devices, which connect with TLS then."`
	ListenKey      string   `env:"MQTT_LISTEN_KEY_FILE" help:"PEM file of that certificate's private key."`
	ListenClientCA string   `env:"MQTT_LISTEN_CLIENT_CA_FILE" help:"PEM file of the authorities that may have signed the devices' certificates; a device without such a certificate is refused then."`
	Topics         []string `env:"MQTT_TOPICS" default:"sensors/data,sensors/+/data" help:"Topic filters of readings, separated by commas. The first + of a filter stands for the device id."`
	ClientID       string   `env:"MQTT_CLIENT_ID" help:"Names this replica's session on the broker: its own, and the same after a restart. Default: telltale-bridge- and the host's name."`
	Shared         bool     `env:"MQTT_SHARED" help:"Share the messages among all replicas that say so (subscribe to $share/telltale/<filter>)."`
	MaxConnections int      `env:"MQTT_MAX_CONNECTIONS" default:"10000" help:"Devices connected at the same time, at most, when listening."`
	MaxPacketBytes int      `env:"MQTT_MAX_PACKET_BYTES" default:"1114112" help:"Longest MQTT packet taken, when listening; a device that sends a longer one is disconnected."`
}

// The longest packet that MQTT's length field can announce, and the shortest limit that makes sense.
const (
	maxPacketBytes = 268_435_455
	minPacketBytes = 1024
)

// Validate reports the first setting that cannot work, as a *daemon.ConfigError.
func (c Config) Validate() error {
	if _, err := parseFilters(c.Topics); err != nil {
		return configError("MQTT_TOPICS", strings.Join(c.Topics, ","), err)
	}
	if err := c.validateListener(); err != nil {
		return err
	}
	if c.ListenAddr == "" {
		broker, err := parseBroker(c.URL)
		if err != nil {
			return configError("MQTT_URL", c.URL, err)
		}
		if err := c.Security.validate(broker); err != nil {
			return err
		}
	} else if err := daemon.CheckAddr("MQTT_LISTEN_ADDR", c.ListenAddr); err != nil {
		return err
	}
	if len(c.ClientID) > 65535 || !utf8.ValidString(c.ClientID) || strings.IndexByte(c.ClientID, 0) >= 0 {
		return configError("MQTT_CLIENT_ID", c.ClientID, errors.New("must be at most 65,535 bytes of UTF-8 without NUL"))
	}
	if c.MaxConnections < 1 {
		return configError("MQTT_MAX_CONNECTIONS", strconv.Itoa(c.MaxConnections), errors.New("must be 1 or more"))
	}
	if c.MaxPacketBytes < minPacketBytes || c.MaxPacketBytes > maxPacketBytes {
		return configError("MQTT_MAX_PACKET_BYTES", strconv.Itoa(c.MaxPacketBytes),
			fmt.Errorf("must be from %d to %d", minPacketBytes, maxPacketBytes))
	}
	return nil
}

func configError(variable, value string, err error) error {
	return &daemon.ConfigError{Variable: variable, Value: value, Err: err}
}

// parseBroker returns s with a port and with one of the schemes tcp and tls.
func parseBroker(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is not a URL")
	}
	port := "1883"
	switch u.Scheme {
	case "tcp", "mqtt":
		u.Scheme = "tcp"
	case "tls", "ssl", "mqtts":
		u.Scheme, port = "tls", "8883"
	default:
		return nil, errors.New("must start with tcp:// or tls://")
	}
	if u.Hostname() == "" {
		return nil, errors.New("names no host")
	}
	port = cmp.Or(u.Port(), port)
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errors.New("the port must be a number from 1 to 65535")
	}
	u.Host = net.JoinHostPort(u.Hostname(), port)
	return u, nil
}

// clientID is the name of the session on the broker. A host's name is stable where it has to be: on a
// machine, and in a pod of a StatefulSet.
func (c Config) clientID() (string, error) {
	if c.ClientID != "" {
		return c.ClientID, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name the session on the broker: %w", err)
	}
	return "telltale-bridge-" + host, nil
}
