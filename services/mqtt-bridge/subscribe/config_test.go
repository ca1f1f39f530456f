package subscribe

import (
	"strings"
	"testing"
)

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

func TestSession(t *testing.T) {
	c := Config{ClientID: "mine"}
	if id, err := c.Session(); id != "mine" || err != nil {
		t.Errorf("got %q, %v, want the one that was set", id, err)
	}
	id, err := Config{}.Session()
	if err != nil || !strings.HasPrefix(id, "telltale-bridge-") || id == "telltale-bridge-" {
		t.Errorf("got %q, %v, want one with the host's name", id, err)
	}
}
