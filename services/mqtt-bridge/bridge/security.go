package bridge

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net/url"

	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// Security says how to connect to a broker that asks who is there. The zero value is for one that does not.
type Security struct {
	Username string         `env:"MQTT_USERNAME" help:"Name to log in with at the broker, instead of the one in MQTT_URL."`
	Password string         `env:"MQTT_PASSWORD" help:"Password of that name, instead of the one in MQTT_URL."`
	Files    tlsfiles.Files `envprefix:"MQTT_"`
}

// login returns the name and the password for a broker; both may be empty.
func (s Security) login(broker *url.URL) (username, password string) {
	password, _ = broker.User.Password()
	return cmp.Or(s.Username, broker.User.Username()), cmp.Or(s.Password, password)
}

func (s Security) validate(broker *url.URL) error {
	if s.Files.Set() && broker.Scheme != "tls" {
		return configError("MQTT_URL", broker.Redacted(), errors.New("must start with tls:// for the files for TLS that are given"))
	}
	if username, password := s.login(broker); username == "" && password != "" {
		return configError("MQTT_USERNAME", "", errors.New("must be given with MQTT_PASSWORD"))
	}
	return nil
}

// validateListener checks what a listening bridge shows to devices, and what it asks of them.
func (c Config) validateListener() error {
	if c.ListenClientCA != "" {
		if c.ListenCert == "" {
			return configError("MQTT_LISTEN_CLIENT_CA_FILE", c.ListenClientCA, errors.New("is of no use without MQTT_LISTEN_CERT_FILE"))
		}
		if _, err := tlsfiles.Authorities(c.ListenClientCA); err != nil {
			return configError("MQTT_LISTEN_CLIENT_CA_FILE", c.ListenClientCA, err)
		}
	}
	if c.ListenCert == "" && c.ListenKey == "" {
		return nil
	}
	if c.ListenAddr == "" {
		return configError("MQTT_LISTEN_CERT_FILE", c.ListenCert, errors.New("is of no use without MQTT_LISTEN_ADDR"))
	}
	if c.ListenCert == "" || c.ListenKey == "" {
		return configError("MQTT_LISTEN_CERT_FILE", c.ListenCert, errors.New("must be given together with MQTT_LISTEN_KEY_FILE"))
	}
	if _, err := tls.LoadX509KeyPair(c.ListenCert, c.ListenKey); err != nil {
		return configError("MQTT_LISTEN_CERT_FILE", c.ListenCert, err)
	}
	return nil
}
