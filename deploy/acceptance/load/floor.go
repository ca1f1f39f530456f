package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
)

// floorVariable names the floor that this program is to be, instead of measuring.
const floorVariable = "BENCH_FLOOR"

// floors do what a service does, and nothing else: as little as can be written for the same servers, without decoding,
// checking, bounds, metrics or orderly retries. Each is a process of its own, of this program, and takes the settings
// of the service that it stands for. It calls ready once, and returns at the end of ctx.
var floors = map[string]func(ctx context.Context, ready func()) error{
	"mqtt-to-kafka":     subscribeToKafka,
	"endpoint-to-kafka": endpointToKafka,
	"endpoint-to-disk":  endpointToDisk,
	"kafka-to-mongo":    kafkaToMongo,
	"kafka-to-redis":    kafkaToRedis,
	"http-redis-get":    httpRedisGet,
	"http-mongo-find":   httpMongoFind,
	"http-mysql-select": httpMySQLSelect,
}

// runFloor is the floor of that name, with an operations port like that of a service.
func runFloor(ctx context.Context, name string) error {
	floor := floors[name]
	if floor == nil {
		return fmt.Errorf("there is no floor %q", name)
	}
	ops, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ops.Close()
	var ready atomic.Bool
	go func() {
		_ = http.Serve(ops, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if !ready.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
	}()
	fmt.Fprintf(os.Stderr, `{"ops_addr":"%s"}`+"\n", ops.Addr())
	if err := floor(ctx, func() { ready.Store(true) }); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
