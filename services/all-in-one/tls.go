package main

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/ownca"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

func (c *command) validateTLS() error {
	for variable, files := range map[string]tlsfiles.Listener{
		"HTTP_CERT_FILE": c.HTTPTLS, "MQTT_LISTEN_CERT_FILE": c.MQTTTLS, "KAFKA_LISTEN_CERT_FILE": c.KafkaTLS,
	} {
		if err := c.TLS.Check(variable, files); err != nil {
			return err
		}
	}
	return nil
}

// openTLS has the listeners that take passwords and tokens show certificates: those in files, or where there are none one of our own,
// when that is asked for, or when they would pass a network in the clear.
func (c *command) openTLS(ctx context.Context, components *components, dir string, p *daemon.Process) error {
	mqtt := []net.Addr{addrOf(components.mqtt), addrOf(components.webSocket)}
	kafka, err := net.ResolveTCPAddr("tcp", c.KafkaListenAddr) // which is opened later
	if err != nil {
		return &daemon.ConfigError{Variable: "KAFKA_LISTEN_ADDR", Value: c.KafkaListenAddr, Err: err}
	}
	for _, port := range []struct {
		cfg   **tls.Config
		files tlsfiles.Listener
		addrs []net.Addr
	}{
		{&components.httpTLS, c.HTTPTLS, []net.Addr{addrOf(components.http)}},
		{&components.mqttTLS, c.MQTTTLS, mqtt},
		{&components.kafkaTLS, c.KafkaTLS, []net.Addr{kafka}},
	} {
		if *port.cfg, err = port.files.Config(p.Log); err != nil {
			return err
		}
		if *port.cfg == nil {
			if *port.cfg, err = c.ownTLS(ctx, p, components, dir, port.addrs); err != nil {
				return err
			}
		}
	}
	return nil
}

// ownTLS returns what shows a certificate of our own on a port, or nil where that speaks no TLS.
func (c *command) ownTLS(ctx context.Context, p *daemon.Process, components *components, dir string, addrs []net.Addr) (*tls.Config, error) {
	needed := c.TLS == tlsfiles.Self
	for _, addr := range addrs {
		if addr != nil && c.TLS == tlsfiles.Unset && !needed {
			var err error
			// Devices of a site from before there were accounts know of no TLS.
			needed, err = c.Auth.Mode.InClear(addr, func() (bool, error) {
				moved, err := components.isMoved(ctx, p)
				if moved {
					p.Log.Warn("passwords and tokens pass the network in the clear, as the site is from before there were accounts: set TLS=self when its clients can do TLS", "addr", addr.String())
				}
				return moved, err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	if !needed {
		return nil, nil
	}
	if components.authority == nil {
		var err error
		if components.authority, err = ownca.Open(filepath.Join(dir, "tls"), c.HTTP.AllowedHosts, p.Log); err != nil {
			return nil, err
		}
	}
	return components.authority.Server(), nil
}

// caFile is what clients have to trust; "" where no certificate is one of our own.
func (p *components) caFile() string {
	if p.authority == nil {
		return ""
	}
	return p.authority.CAFile()
}

// addrOf is where l listens; nil without it.
func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// isMoved reports whether the data is from before there were accounts. A server that has it is waited for.
func (p *components) isMoved(ctx context.Context, process *daemon.Process) (moved bool, err error) {
	err = process.Health.Await(ctx, process.Log, "whether the site is from before there were accounts", func(ctx context.Context) error {
		if err := p.metadata.Prepare(ctx); err != nil {
			return err
		}
		moved, err = p.metadata.Moved(ctx)
		return err
	})
	return moved, err
}

// apiURL is where a client on this machine reaches the HTTP API.
func (p *components) apiURL() string {
	return scheme("http", p.httpTLS != nil) + reachable(p.http.Addr())
}

// mqttURL is where the demo devices reach MQTT, which listens.
func (p *components) mqttURL() string {
	return scheme("mqtt", p.mqttTLS != nil) + p.demo + reachable(p.mqtt.Addr())
}
