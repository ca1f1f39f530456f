package httpguard

import (
	"errors"
	"regexp"

	"github.com/telltale-iot/telltale/pkg/settings"
)

const hostsVariable = "ALLOWED_HOSTS"

// Config is the settings of a Guard.
type Config struct {
	AllowedHosts []string `env:"ALLOWED_HOSTS" help:"Host names by which clients may ask for the HTTP API, the operations port and MQTT over WebSocket, besides localhost, the name of the machine and addresses, separated by commas. A request for another is answered 421."`
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$`)

// Validate reports the first host that no request could name, as a *settings.Error.
func (c Config) Validate() error {
	for _, host := range c.AllowedHosts {
		if !hostName.MatchString(host) {
			return &settings.Error{Variable: hostsVariable, Value: host, Err: errors.New("must be host names, without scheme, port and wildcards")}
		}
	}
	return nil
}
