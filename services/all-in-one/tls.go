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
	if err := c.TLS.Check("HTTP_CERT_FILE", c.HTTPTLS); err != nil {
		return err
	}
	return c.TLS.Check("MQTT_LISTEN_CERT_FILE", c.MQTTTLS)
}

// openTLS has the listeners for people and devices show certificates: those in files, or where there are none one of our own, when
// that is asked for, or when passwords would pass a network in the clear.
func (c *command) openTLS(ctx context.Context, components *components, dir string, p *daemon.Process) (err error) {
	if components.httpTLS, err = c.HTTPTLS.Config(p.Log); err != nil {
		return err
	}
	if components.mqttTLS, err = c.MQTTTLS.Config(p.Log); err != nil {
		return err
	}
	for _, own := range []struct {
		cfg       **tls.Config
		listeners []net.Listener
	}{{&components.httpTLS, []net.Listener{components.http}}, {&components.mqttTLS, []net.Listener{components.mqtt, components.webSocket}}} {
		if *own.cfg != nil {
			continue
		}
		needed, err := c.needsOwn(ctx, p, components, own.listeners)
		if err != nil {
			return err
		}
		if needed && components.authority == nil {
			if components.authority, err = ownca.Open(filepath.Join(dir, "tls"), c.HTTP.AllowedHosts, p.Log); err != nil {
				return err
			}
		}
		if needed {
			*own.cfg = components.authority.Server()
		}
	}
	return nil
}

// needsOwn reports whether listeners, for which no certificate is given, have to show one of our own.
func (c *command) needsOwn(ctx context.Context, p *daemon.Process, components *components, listeners []net.Listener) (bool, error) {
	for _, l := range listeners {
		if l == nil || c.TLS == tlsfiles.Off {
			continue
		}
		if c.TLS == tlsfiles.Self {
			return true, nil
		}
		// Devices of a site from before there were accounts know of no TLS.
		clear, err := c.Auth.Mode.InClear(l.Addr(), func() (bool, error) { return components.isMoved(ctx, p) })
		if err != nil || clear {
			return clear, err
		}
	}
	return false, nil
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

// mqttURL is where one reaches MQTT, which listens.
func (p *components) mqttURL() string {
	return scheme("mqtt", p.mqttTLS != nil) + reachable(p.mqtt.Addr())
}
