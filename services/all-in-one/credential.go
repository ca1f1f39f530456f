package main

import (
	"context"
	"net"
	"os"
	"path/filepath"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/services/query-api/newcredential"
)

// credentialCommand is the programs `all-in-one credential create`, `list` and `delete`.
type credentialCommand struct {
	newcredential.Request
	Database
	MQTTListenAddr string            `env:"MQTT_LISTEN_ADDR" default:"127.0.0.1:1883" help:"Where devices connect."`
	MQTTTLS        tlsfiles.Listener `envprefix:"MQTT_LISTEN_"`
	TLS            tlsfiles.Mode     `env:"TLS" help:"As of the service."`
}

func (c *credentialCommand) Run(ctx context.Context, p *daemon.Process) error {
	store, err := c.open()
	if err != nil {
		return err
	}
	defer daemon.Close(p.Log, "metadata", store)
	p.Started()
	return c.Do(ctx, store, c.mosquittoPub(), p.Log, os.Stdout)
}

// mosquittoPub is the beginning of a command that publishes, as the service's settings say where.
func (c *credentialCommand) mosquittoPub() string {
	command, host, port := "mosquitto_pub", "127.0.0.1", "1883"
	addr, err := net.ResolveTCPAddr("tcp", c.MQTTListenAddr)
	if err == nil {
		host, port, _ = net.SplitHostPort(reachable(addr)) // the address has both
	}
	ca := filepath.Join(c.DataDir, "tls", "ca.crt")
	_, missing := os.Stat(ca)
	switch {
	case c.MQTTTLS.Cert != "":
		command += " --tls-use-os-certs"
	case missing == nil && (c.TLS == tlsfiles.Self || c.TLS == tlsfiles.Unset && err == nil && !auth.IsLoopback(addr)):
		command += " --cafile " + newcredential.ShellQuoted(ca)
	}
	return command + " -h " + host + " -p " + port
}
