package listen

import (
	"errors"
	"time"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/trace"
)

// introduce notes who sent p.
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
	c.who = trace.Client{ID: short(p.ClientID), User: short(p.User), Protocol: protocol, Address: c.RemoteAddr(), Since: time.Now()}
}

func short(text []byte) string { return string(text[:min(len(text), maxClientID)]) }

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
