package contract

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// ttlOfAllInOne is short enough to wait for its end, and long enough to look at a value before it.
const ttlOfAllInOne = 6 * time.Second

var binaryDir string // where allInOne is built; TestMain sets it

// allInOne builds the program, once.
var allInOne = sync.OnceValues(func() (path string, err error) {
	return filepath.Join(binaryDir, "all-in-one"), process.Build(context.Background(), binaryDir, "all-in-one")
})

// start runs all-in-one with its log and its data in dir, on free ports but for those in settings.
func start(dir string, settings ...string) (*process.Process, error) {
	path, err := allInOne()
	if err != nil {
		return nil, err
	}
	usual := []string{
		"DATA_DIR=" + filepath.Join(dir, "data"), "HTTP_ADDR=127.0.0.1:0", "MQTT_LISTEN_ADDR=127.0.0.1:0", "KAFKA_LISTEN_ADDR=127.0.0.1:0",
	}
	return process.Start(process.Spec{Binary: path, Settings: append(usual, settings...), Log: filepath.Join(dir, "log")})
}

// startAllInOne runs all-in-one until it is ready, in dir.
func startAllInOne(dir string) (p *process.Process, s *system, brokers []string, err error) {
	addrs, err := proxytest.FreeAddrs(4)
	if err != nil {
		return nil, nil, nil, err
	}
	p, err = start(dir, "HTTP_ADDR="+addrs[0], "MQTT_LISTEN_ADDR="+addrs[1], "MQTT_WS_LISTEN_ADDR="+addrs[3], "KAFKA_LISTEN_ADDR="+addrs[2], "KAFKA_LISTEN_WRITES=true", "LATEST_TTL="+ttlOfAllInOne.String())
	if err != nil {
		return nil, nil, nil, err
	}
	if err := p.WaitReady(context.Background()); err != nil {
		return nil, nil, nil, errors.Join(err, p.Stop())
	}
	return p, &system{
		http: "http://" + addrs[0], mqtt: "tcp://" + addrs[1], web: "ws://" + addrs[3] + "/mqtt", ops: []string{"http://" + p.OpsAddr()},
		listen: true, topic: "raw-data", latestTTL: ttlOfAllInOne,
	}, addrs[2:3], nil
}
