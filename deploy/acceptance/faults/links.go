package main

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// link is the network between a service and what it talks to: a proxy that every byte passes.
type link struct {
	name  string
	proxy *toxiproxy.Proxy
}

// linkTable names the two ends of each link, which address (see portNames) it leads to, and what the process at
// its near end calls that on /readyz.
var linkTable = []struct{ name, listen, to, dependency string }{
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

// modeOf returns the only mode of the bridge whose devices a link's faults concern, or "".
func modeOf(link string) string {
	switch link {
	case "device-bridge":
		return listen
	case "bridge-mosquitto":
		return subscribe
	}
	return ""
}

// openLinks starts a proxy for every link.
func openLinks(s *stack) (map[string]*link, error) {
	zerolog.SetGlobalLevel(zerolog.Disabled) // some of its toxics log to standard error
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	links := map[string]*link{}
	for _, l := range linkTable {
		p := toxiproxy.NewProxy(server, l.name, s.addr(l.listen), s.addr(l.to))
		if err := p.Start(); err != nil {
			return nil, fmt.Errorf("link %s: %w", l.name, err)
		}
		links[l.name] = &link{name: l.name, proxy: p}
	}
	return links, nil
}

// The faults of a link, as toxics of toxiproxy. Lifting one that loses bytes closes the connections that
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

func (l *link) add(toxics []string) error {
	for _, toxic := range toxics {
		if _, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return fmt.Errorf("link %s: %w", l.name, err)
		}
	}
	return nil
}

func (l *link) lift(ctx context.Context) { l.proxy.Toxics.ResetToxics(ctx) }

// refuse closes all connections and refuses new ones, until allow.
func (l *link) refuse() error {
	l.proxy.Stop()
	conn, err := net.Dial("tcp", l.proxy.Listen)
	if err == nil {
		conn.Close()
		return fmt.Errorf("link %s does not refuse a connection", l.name)
	}
	return nil
}

func (l *link) allow() error { return l.proxy.Start() }

// lead cuts the connections and leads new ones to addr.
func (l *link) lead(addr string) error {
	l.proxy.Stop()
	l.proxy.Upstream = addr
	return l.proxy.Start()
}
