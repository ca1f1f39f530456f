package settings

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"strconv"
)

// ParseBroker returns s, the URL of an MQTT broker, with a port and with one of the schemes tcp and tls.
func ParseBroker(s string) (*url.URL, error) {
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
