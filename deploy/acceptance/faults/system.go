package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

const (
	subscribe = "subscribe"
	listen    = "listen"

	topic       = "raw-data"
	deadLetters = "raw-data.dlq"
)

// system is a running Telltale: the services as processes, each with the way to what it talks to.
type system struct {
	stack     *stack // nil for all-in-one
	proxies   map[string]*proxy
	services  map[string]*service
	devices   map[string]string // by mode of the bridge: the URL where devices publish
	api       string            // http://host:port
	kafka     string            // host:port, past all faults
	data      string            // where all-in-one keeps everything
	probeAddr string            // where no device of a trial looks for all-in-one
	disk      *disk             // which data is on; nil where this program may not mount one: diskless says why
	diskless  error

	partitions int // of the readings' topic, at least
}

// The names of the processes. The bridge runs twice, once in each mode.
const (
	bridgeSubscribe = "mqtt-bridge-subscribe"
	bridgeListen    = "mqtt-bridge-listen"
	ingestWriter    = "ingest-writer"
	cacheUpdater    = "cache-updater"
	queryAPI        = "query-api"
	allInOne        = "all-in-one"
)

// newSystem describes the services on the servers of s, the binaries and logs of which are in dir.
func newSystem(s *stack, proxies map[string]*proxy, dir string, modes []string) *system {
	y := &system{
		stack: s, proxies: proxies, services: map[string]*service{}, devices: map[string]string{},
		api: "http://" + s.addr("HTTP"), kafka: s.addr("KAFKA_PORT"), partitions: 12,
	}
	mongo := func(proxy string) string {
		return "MONGODB_URI=mongodb://telltale:" + password + "@" + s.addr(proxy) + "/iot?authSource=admin"
	}
	redis := func(proxy string) string { return "REDIS_URL=redis://:" + password + "@" + s.addr(proxy) + "/0" }
	kafka := func(proxy string) string { return "KAFKA_BROKERS=" + s.addr(proxy) }

	if slices.Contains(modes, subscribe) {
		y.devices[subscribe] = "tcp://device:" + password + "@" + s.addr("MQTT_PORT")
		y.add(bridgeSubscribe, dir, "mqtt-bridge", s.addr("OPS_SUBSCRIBE"), kafka("BRIDGE_KAFKA_PROXY"),
			"MQTT_URL=tcp://bridge:"+password+"@"+s.addr("BRIDGE_MQTT_PROXY"), "MQTT_CLIENT_ID=telltale-bridge")
	}
	if slices.Contains(modes, listen) {
		y.devices[listen] = "tcp://" + s.addr("DEVICE_BRIDGE_PROXY")
		y.add(bridgeListen, dir, "mqtt-bridge", s.addr("OPS_LISTEN"), kafka("BRIDGE_KAFKA_PROXY"),
			"MQTT_LISTEN_ADDR="+s.addr("LISTEN"))
	}
	y.add(ingestWriter, dir, ingestWriter, s.addr("OPS_WRITER"), kafka("WRITER_KAFKA_PROXY"), mongo("WRITER_MONGO_PROXY"))
	y.add(cacheUpdater, dir, cacheUpdater, s.addr("OPS_UPDATER"), kafka("UPDATER_KAFKA_PROXY"), redis("UPDATER_REDIS_PROXY"),
		"LATEST_TTL=10m") // what is checked is which value is kept, and some faults last longer than the usual minute
	y.add(queryAPI, dir, queryAPI, s.addr("OPS_API"), kafka("API_KAFKA_PROXY"), mongo("API_MONGO_PROXY"), redis("API_REDIS_PROXY"),
		"DATABASE_URL=mysql://iot:"+password+"@"+s.addr("API_MYSQL_PROXY")+"/iot", "HTTP_ADDR="+s.addr("HTTP"))
	return y
}

// bounds are the limits of resident memory: what the services are built for, and some slack.
var bounds = map[string]int64{
	"mqtt-bridge": 96 << 20, ingestWriter: 128 << 20, cacheUpdater: 128 << 20, queryAPI: 128 << 20, allInOne: 300 << 20,
}

func (y *system) add(name, dir, binary, ops string, settings ...string) {
	y.services[name] = &service{
		name: name, binary: filepath.Join(dir, binary), settings: settings, ops: ops,
		log: filepath.Join(dir, name+".log"), bound: bounds[binary],
	}
}

// names returns the processes, in the same order each time.
func (y *system) names() []string { return slices.Sorted(maps.Keys(y.services)) }

// start starts what does not run, and waits until all is ready.
func (y *system) start(ctx context.Context) error {
	for _, name := range y.names() {
		if p := y.services[name]; !p.running() {
			if err := p.start(); err != nil {
				return err
			}
		}
	}
	for _, name := range y.names() {
		p := y.services[name]
		if err := eventually(ctx, 90*time.Second, func() error {
			if p.ready(ctx) {
				return nil
			}
			return errors.Join(fmt.Errorf("%s is not ready, see %s", name, p.log), p.process.Check())
		}); err != nil {
			return err
		}
	}
	return nil
}

// repair makes good what a trial that failed may have left broken.
func (y *system) repair(ctx context.Context) error {
	for _, p := range y.services {
		if p.running() {
			_ = p.kill() // it may be stopped, or gone
		}
	}
	if y.stack == nil {
		return nil
	}
	for _, l := range y.proxies {
		l.lift(ctx)
		_ = l.allow() // an error says that it did not refuse
	}
	if err := y.proxies["device-bridge"].redirect(y.stack.addr("LISTEN")); err != nil {
		return err
	}
	for _, name := range servers {
		_ = y.stack.docker(ctx, "unpause", name) // an error says that it was not paused
	}
	return y.stack.up(ctx)
}

// stop stops all processes, and says which did not end well.
func (y *system) stop() error {
	var errs []error
	for _, name := range y.names() {
		if p := y.services[name]; p.running() {
			errs = append(errs, p.stop())
		}
	}
	return errors.Join(errs...)
}

// build puts the binaries of services in the source at root into dir.
func build(ctx context.Context, root, dir string, names ...string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", dir)
	for _, name := range names {
		cmd.Args = append(cmd.Args, "./services/"+name)
	}
	cmd.Dir = root
	return run(cmd)
}

// eventually repeats check until it is nil or limit has passed.
func eventually(ctx context.Context, limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %w", limit, err)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
