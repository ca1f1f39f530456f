package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// site is where the attacks take place: the folder of binaries, logs and data, and what stands behind the
// bridges that are attacked.
type site struct {
	dir    string
	dice   *rand.Rand
	behind *target      // nil until a row needs it
	device iot.DeviceID // the last one of the fleets so far
}

// target is a running process, and its addresses (host:port); web is that of MQTT over WebSocket, which only a bridge has.
// A bridge has no http and no kafka of its own: these are what stands behind it.
type target struct {
	*process.Process
	mqtt, web, http, kafka string
}

// memoryLimit is that of the services in k8s/base and docker-compose.yml, and goMemoryLimit what the same files
// set for Go.
const (
	memoryLimit   = 256 << 20
	goMemoryLimit = "GOMEMLIMIT=230MiB"
)

// profiles lets collect have the process collect its garbage.
const profiles = "PPROF=true"

// kafkaWrites lets others produce to all-in-one's Kafka: a bridge that is a process of its own, for one.
const kafkaWrites = "KAFKA_LISTEN_WRITES=true"

// allInOne starts an all-in-one on embedded parts, with its data in a folder of its own.
func (s *site) allInOne(ctx context.Context, settings ...string) (*target, error) {
	addrs, err := proxytest.FreeAddrs(3)
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp(s.dir, "data-")
	if err != nil {
		return nil, err
	}
	t := &target{mqtt: addrs[0], http: addrs[1], kafka: addrs[2]}
	usual := []string{"DATA_DIR=" + data, "MQTT_LISTEN_ADDR=" + t.mqtt, "HTTP_ADDR=" + t.http, "KAFKA_LISTEN_ADDR=" + t.kafka, goMemoryLimit}
	return t, s.start(ctx, t, "all-in-one", append(usual, settings...))
}

// bridge starts an mqtt-bridge that devices connect to.
func (s *site) bridge(ctx context.Context, settings ...string) (t *target, err error) {
	if s.behind == nil {
		if s.behind, err = s.allInOne(ctx, kafkaWrites); err != nil {
			return nil, err
		}
	}
	addrs, err := proxytest.FreeAddrs(2)
	if err != nil {
		return nil, err
	}
	t = &target{mqtt: addrs[0], web: addrs[1], http: s.behind.http, kafka: s.behind.kafka}
	usual := []string{"MQTT_LISTEN_ADDR=" + t.mqtt, "MQTT_WS_LISTEN_ADDR=" + t.web, "KAFKA_BROKERS=" + t.kafka, goMemoryLimit}
	return t, s.start(ctx, t, "mqtt-bridge", append(usual, settings...))
}

// start starts a service with settings (VARIABLE=value), and waits until it is ready.
func (s *site) start(ctx context.Context, t *target, service string, settings []string) error {
	log, err := os.CreateTemp(s.dir, service+"-*.log")
	if err != nil {
		return err
	}
	_ = log.Close()
	t.Process, err = process.Start(process.Spec{Binary: filepath.Join(s.dir, service), Settings: append(settings, profiles), Log: log.Name()})
	if err != nil {
		return err
	}
	if err := t.WaitReady(ctx); err != nil {
		return errors.Join(err, t.Kill())
	}
	return nil
}

// prepare returns what returns the targets of rows, one after the other. Each is started while the one before it is
// attacked: much of the time that it takes is spent waiting.
func (s *site) prepare(ctx context.Context, rows []row) (next func() (*target, error)) {
	type started struct {
		*target
		err error
	}
	ready := make(chan started)
	go func() {
		for _, r := range rows {
			t, err := r.on(ctx, s)
			select {
			case ready <- started{t, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() (*target, error) {
		select {
		case s := <-ready:
			return s.target, s.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (s *site) close() error {
	if s.behind == nil {
		return nil
	}
	return s.behind.Stop()
}
