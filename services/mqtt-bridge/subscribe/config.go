package subscribe

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Config are the settings of the source that subscribes. The tags are for package settings.
type Config struct {
	URL      string `env:"MQTT_URL" default:"tcp://localhost:1883" help:"Broker to subscribe to: tcp:// or tls://, with user:password@ where it asks for them. Not used when --mqtt-listen-addr is set."`
	Security Security
	ClientID string `env:"MQTT_CLIENT_ID" help:"Names this replica's session on the broker: its own, and the same after a restart. Default: telltale-bridge- and the host's name."`
	Shared   bool   `env:"MQTT_SHARED" help:"Share the messages among all replicas that say so (subscribe to $share/telltale/<filter>)."`
}

// Security is how the bridge and the broker prove who they are. The zero value is for a broker without TLS and login.
type Security struct {
	Username string         `env:"MQTT_USERNAME" help:"Name to log in with at the broker, instead of the one in MQTT_URL."`
	Password string         `env:"MQTT_PASSWORD" help:"Password of that name, instead of the one in MQTT_URL."`
	Files    tlsfiles.Files `envprefix:"MQTT_"`
}

// Check reports the first setting that cannot work, as a *daemon.ConfigError.
func (c Config) Check() error {
	broker, err := settings.ParseBroker(c.URL)
	if err != nil {
		return configError("MQTT_URL", c.URL, err)
	}
	if c.Security.Files.Set() && broker.Scheme != "tls" {
		return configError("MQTT_URL", broker.Redacted(), errors.New("must start with tls:// for the files for TLS that are given"))
	}
	if username, password := c.Security.login(broker); username == "" && password != "" {
		return configError("MQTT_USERNAME", "", errors.New("must be given with MQTT_PASSWORD"))
	}
	if len(c.ClientID) > 65535 || !utf8.ValidString(c.ClientID) || strings.IndexByte(c.ClientID, 0) >= 0 {
		return configError("MQTT_CLIENT_ID", c.ClientID, errors.New("must be at most 65,535 bytes of UTF-8 without NUL"))
	}
	return nil
}

// Address is the broker's, host:port, and whether it speaks TLS; "" where URL cannot work.
func (c Config) Address() (addr string, tls bool) {
	broker, err := settings.ParseBroker(c.URL)
	if err != nil {
		return "", false
	}
	return broker.Host, broker.Scheme == "tls"
}

// login returns the name and the password for a broker; both may be empty.
func (s Security) login(broker *url.URL) (username, password string) {
	password, _ = broker.User.Password()
	return cmp.Or(s.Username, broker.User.Username()), cmp.Or(s.Password, password)
}

// Session is the name of the session on the broker, and of the replica where there is no broker. A host's name is stable where it has to be: on a
// machine, and in a pod of a StatefulSet.
func (c Config) Session() (string, error) {
	if c.ClientID != "" {
		return c.ClientID, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("name the session: %w", err)
	}
	return "telltale-bridge-" + host, nil
}

func configError(variable, value string, err error) error {
	return &daemon.ConfigError{Variable: variable, Value: value, Err: err}
}
