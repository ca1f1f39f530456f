package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxy is the network between a service and what it talks to: every byte passes it.
type proxy struct {
	name string
	toxi *toxiproxy.Proxy
}

// proxyTable names the two ends of each proxy, which address (see portNames) it leads to, and what the process at
// its near end calls that on /readyz.
var proxyTable = []struct{ name, listen, to, dependency string }{
	{"device-bridge", "DEVICE_BRIDGE_PROXY", "LISTEN", ""},
	{"bridge-mosquitto", "BRIDGE_MQTT_PROXY", "MQTT_PORT", "mqtt"},
	{"bridge-kafka", "BRIDGE_KAFKA_PROXY", "BRIDGE_KAFKA", "kafka"},
	{"writer-kafka", "WRITER_KAFKA_PROXY", "WRITER_KAFKA", "kafka"},
	{"writer-mongo", "WRITER_MONGO_PROXY", "MONGO_PORT", "mongodb"},
	{"updater-kafka", "UPDATER_KAFKA_PROXY", "UPDATER_KAFKA", "kafka"},
	{"updater-redis", "UPDATER_REDIS_PROXY", "REDIS_PORT", "redis"},
	{"api-kafka", "API_KAFKA_PROXY", "API_KAFKA", "kafka"},
	{"api-mongo", "API_MONGO_PROXY", "MONGO_PORT", "mongodb"},
	{"api-redis", "API_REDIS_PROXY", "REDIS_PORT", "redis"},
	{"api-mysql", "API_MYSQL_PROXY", "MYSQL_PORT", "mysql"},
}

// modeOf returns the only mode of the bridge whose devices a proxy's faults concern, or "".
func modeOf(proxy string) string {
	switch proxy {
	case "device-bridge":
		return listen
	case "bridge-mosquitto":
		return subscribe
	}
	return ""
}

// openProxies starts a proxy for every proxy.
func openProxies(s *stack) (map[string]*proxy, error) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some of its toxics log to standard error
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxies := map[string]*proxy{}
	for _, l := range proxyTable {
		p := toxiproxy.NewProxy(server, l.name, s.addr(l.listen), s.addr(l.to))
		if err := p.Start(); err != nil {
			return nil, fmt.Errorf("proxy %s: %w", l.name, err)
		}
		proxies[l.name] = &proxy{name: l.name, toxi: p}
	}
	return proxies, nil
}

// The faults of a proxy, as toxics of toxiproxy. Lifting one that loses bytes closes the connections that
// lost some, as a network does whose state was dropped.
var (
	// vanish loses every byte in both directions, and refuses nothing.
	vanish = []string{`{"type":"timeout","stream":"upstream"}`, `{"type":"timeout","stream":"downstream"}`}
	// halfOpen loses the answers: what was asked for is done, and whoever asked does not learn of it.
	halfOpen = []string{`{"type":"timeout","stream":"downstream"}`}
	late     = []string{`{"type":"latency","stream":"downstream","attributes":{"latency":2000}}`}
	narrow   = []string{
		`{"type":"bandwidth","stream":"upstream","attributes":{"rate":10}}`,
		`{"type":"bandwidth","stream":"downstream","attributes":{"rate":10}}`,
	}
)

func (l *proxy) add(toxics []string) error {
	for _, toxic := range toxics {
		if _, err := l.toxi.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return fmt.Errorf("proxy %s: %w", l.name, err)
		}
	}
	return nil
}

func (l *proxy) lift(ctx context.Context) { l.toxi.Toxics.ResetToxics(ctx) }

// refuse closes all connections and refuses new ones, until allow.
func (l *proxy) refuse() error {
	l.toxi.Stop()
	conn, err := net.Dial("tcp", l.toxi.Listen)
	if err == nil {
		conn.Close()
		return fmt.Errorf("proxy %s does not refuse a connection", l.name)
	}
	return nil
}

func (l *proxy) allow() error { return l.toxi.Start() }

// redirect cuts the connections and leads new ones to addr.
func (l *proxy) redirect(addr string) error {
	l.toxi.Stop()
	l.toxi.Upstream = addr
	return l.toxi.Start()
}
