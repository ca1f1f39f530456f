package dynsec

import (
	"errors"
	"net/url"
	"strings"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Config are the settings. The tags are for package settings.
type Config struct {
	URL      string         `env:"MQTT_DYNSEC_URL" help:"Mosquitto whose dynamic-security plugin is to have the devices' credentials: tls://user@host:8883, of a user who may use $CONTROL/dynamic-security. Without it none has."`
	Password string         `env:"MQTT_DYNSEC_PASSWORD" help:"Password of that user, instead of the one in MQTT_DYNSEC_URL."`
	Files    tlsfiles.Files `envprefix:"MQTT_DYNSEC_"`
}

// Validate reports a setting that cannot work, as a *daemon.ConfigError.
func (c Config) Validate() error {
	if c.URL == "" {
		return nil
	}
	broker, err := parseBroker(c.URL)
	if err == nil && c.Files.Set() && broker.Scheme != "tls" {
		err = errors.New("must start with tls:// for the files for TLS that are given")
	}
	if err != nil {
		return &daemon.ConfigError{Variable: "MQTT_DYNSEC_URL", Value: c.URL, Err: err}
	}
	return nil
}

// parseBroker returns the broker that s names, and nothing else.
func parseBroker(s string) (*url.URL, error) {
	u, err := settings.ParseBroker(s)
	if err == nil && strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("must name a host, and nothing behind it")
	}
	return u, err
}
