package settings

import "testing"

func TestParseBroker(t *testing.T) {
	for in, want := range map[string]string{
		"tcp://localhost":       "tcp://localhost:1883",
		"mqtt://host:1884":      "tcp://host:1884",
		"mqtts://u:p@host":      "tls://u:p@host:8883",
		"tls://[::1]":           "tls://[::1]:8883",
		"ssl://broker.test:443": "tls://broker.test:443",
	} {
		u, err := ParseBroker(in)
		if err != nil || u.String() != want {
			t.Errorf("ParseBroker(%q) = %v, %v; want %s", in, u, err, want)
		}
	}
}
