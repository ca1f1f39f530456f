package subscribe

import (
	"strings"
	"testing"
)

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
