package listen

import (
	"errors"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/trace"
)

// introduce notes who sent p, as people may see it.
func (c *connection) introduce(p packet.Connect) {
	protocol := "MQTT 3.1.1"
	switch p.Version {
	case packet.V3:
		protocol = "MQTT 3.1"
	case packet.V5:
		protocol = "MQTT 5"
	}
	if _, web := c.Conn.Conn.(*webSocket); web {
		protocol += " over WebSocket"
	}
	user := string(p.User)
	if table := c.endpoint.access.Table; table == nil || !table.HasPassword(user) {
		user = auth.MaskedName(user)
	}
	c.who = trace.Client{ID: short(auth.Masked(string(p.ClientID))), User: short(user), Protocol: protocol, Address: c.RemoteAddr(), Since: time.Now()}
}

func short(text string) string { return text[:min(len(text), maxClientID)] }

// part has it seen that the connection ended with err, where it is known whose it was.
func (c *connection) part(err error) {
	if c.who.Protocol == "" {
		return
	}
	why := ""
	var refused *refusal
	var wrong *packet.Error
	switch {
	case errors.As(err, &refused):
		why = refused.what
	case errors.As(err, &wrong):
		why = wrong.What
	}
	c.endpoint.seen.Left(c.who, why)
}
