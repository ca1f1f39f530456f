package process

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// AllInOne is an all-in-one that is ready, with its data and its log in a folder of its own.
type AllInOne struct {
	*Process
	HTTP string // the URL of the API, without a slash at its end
	MQTT string // the URL of the MQTT endpoint
}

// StartAllInOne builds all-in-one, starts it in dir on free ports, and waits until it is ready. settings count
// over its own.
func StartAllInOne(ctx context.Context, dir string, settings ...string) (*AllInOne, error) {
	if err := Build(ctx, dir, "all-in-one"); err != nil {
		return nil, err
	}
	addrs, err := proxytest.FreeAddrs(2)
	if err != nil {
		return nil, err
	}
	p, err := Start(Spec{
		Binary: filepath.Join(dir, "all-in-one"),
		Settings: append([]string{
			"DATA_DIR=" + filepath.Join(dir, "data"), "HTTP_ADDR=" + addrs[0], "MQTT_LISTEN_ADDR=" + addrs[1], "KAFKA_LISTEN_ADDR=127.0.0.1:0",
		}, settings...),
		Log: filepath.Join(dir, "log"),
	})
	if err != nil {
		return nil, err
	}
	if err := p.WaitReady(ctx); err != nil {
		return nil, errors.Join(err, p.Kill())
	}
	return &AllInOne{p, "http://" + addrs[0], "tcp://" + addrs[1]}, nil
}
