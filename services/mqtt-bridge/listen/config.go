package listen

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Config are the settings of the endpoint. The tags are for package settings.
type Config struct {
	Addr           string            `env:"MQTT_LISTEN_ADDR" help:"Be the MQTT endpoint itself, on this host:port, instead of subscribing to a broker."`
	WebSocketAddr  string            `env:"MQTT_WS_LISTEN_ADDR" help:"Take MQTT over WebSocket, too, on this host:port, on the same terms as MQTT. Pages of another origin are refused."`
	Files          tlsfiles.Listener `envprefix:"MQTT_LISTEN_"`
	TLS            *tls.Config       // in place of Files; nil for what they say
	ClientCA       string            `env:"MQTT_LISTEN_CLIENT_CA_FILE" help:"PEM file of the authorities that may have signed the devices' certificates; a device without such a certificate is refused then, unless it has a password where AUTH asks for credentials."`
	AnonymousFrom  []string          `env:"MQTT_ANONYMOUS_FROM" help:"Networks (10.1.0.0/16, an address) whose devices get in without user name and password, separated by commas: those that cannot have credentials. They send for devices without credentials of their own."`
	MaxConnections int               `env:"MQTT_MAX_CONNECTIONS" default:"10000" help:"Devices connected at the same time, at most, when listening."`
	DeviceRate     string            `env:"MQTT_DEVICE_RATE" default:"200" help:"Messages a second that a device may send which got in by credentials, when listening; a message counts once for each 5,000 bytes. One that sends more is slowed, after a burst of 10 seconds' worth, and nothing of it is dropped. A gateway has that for each of its devices, 50 at most. off: as fast as it goes."`
	MaxPacketBytes int               `env:"MQTT_MAX_PACKET_BYTES" default:"1114112" help:"Longest MQTT packet taken, when listening; a device that sends a longer one is disconnected."`
}

// The longest packet that MQTT's length field can announce, and the shortest limit that makes sense.
const (
	maxPacketBytes = 268_435_455
	minPacketBytes = 1024
)

// Validate reports the first setting that cannot work, as a *daemon.ConfigError.
func (c Config) Validate() error {
	if c.Addr != "" {
		if err := daemon.CheckAddr("MQTT_LISTEN_ADDR", c.Addr); err != nil {
			return err
		}
	}
	if c.WebSocketAddr != "" {
		if c.Addr == "" {
			return configError("MQTT_WS_LISTEN_ADDR", c.WebSocketAddr, errors.New("is of no use without MQTT_LISTEN_ADDR"))
		}
		if err := daemon.CheckAddr("MQTT_WS_LISTEN_ADDR", c.WebSocketAddr); err != nil {
			return err
		}
	}
	if _, err := c.anonymous(); err != nil {
		return err
	}
	if _, err := c.deviceRate(); err != nil {
		return err
	}
	if err := c.validateTLS(); err != nil {
		return err
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

// validateTLS checks the endpoint's certificate, and the authorities of the devices' certificates.
func (c Config) validateTLS() error {
	if c.ClientCA != "" {
		if !c.Secured() {
			return configError("MQTT_LISTEN_CLIENT_CA_FILE", c.ClientCA, errors.New("is of no use without MQTT_LISTEN_CERT_FILE"))
		}
		if _, err := tlsfiles.Authorities(c.ClientCA); err != nil {
			return configError("MQTT_LISTEN_CLIENT_CA_FILE", c.ClientCA, err)
		}
	}
	if c.Files.Set() && c.Addr == "" {
		return configError("MQTT_LISTEN_CERT_FILE", c.Files.Cert, errors.New("is of no use without MQTT_LISTEN_ADDR"))
	}
	return nil
}

// anonymous returns the networks of AnonymousFrom.
func (c Config) anonymous() (auth.Networks, error) {
	networks, err := auth.ParseNetworks(c.AnonymousFrom)
	if err != nil {
		return nil, configError("MQTT_ANONYMOUS_FROM", strings.Join(c.AnonymousFrom, ","), err)
	}
	return networks, nil
}

// Secured reports whether devices connect with TLS.
func (c Config) Secured() bool { return c.TLS != nil || c.Files.Set() }

// secure makes devices connect with TLS, where there is a certificate to show to them.
func (e *Endpoint) secure() (err error) {
	c := e.cfg
	if e.tls = c.TLS; e.tls == nil {
		if e.tls, err = c.Files.Config(e.log); err != nil {
			return configError("MQTT_LISTEN_CERT_FILE", c.Files.Cert, err)
		}
	}
	if e.tls == nil || c.ClientCA == "" {
		return nil
	}
	e.tls = e.tls.Clone()
	required := e.access.Mode == auth.Off // else it is decided when the CONNECT is there, which may have a password
	if err := tlsfiles.VerifyClients(e.tls, required, c.ClientCA, e.log); err != nil {
		return configError("MQTT_LISTEN_CLIENT_CA_FILE", c.ClientCA, err)
	}
	return nil
}

func configError(variable, value string, err error) error {
	return &daemon.ConfigError{Variable: variable, Value: value, Err: err}
}
