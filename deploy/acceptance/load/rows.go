package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// row is something to measure.
type row struct {
	name    string
	what    string
	needs   []string // the servers, by the variables that name them
	service string   // that is measured
	floor   string   // of floors, what does the same work bare; "" where nothing does
	unit    string   // what the CPU time is given for, and how many of them; "": it says nothing
	per     int
	target  target
	run     func(ctx context.Context, b *bench, start starter) (figures, error)
}

// figures are what was measured; what does not apply is zero.
type figures struct {
	n        int           // readings or requests
	cpu      time.Duration // user+sys of the service for all of them
	floorN   int           // as n, of the floor
	floorCPU time.Duration
	rate     float64 // per second
	rss      int64   // bytes, the peak
	written  int64   // bytes, to disks
	p50, p99 time.Duration
	note     string
}

// target is what is aimed at; what is not is zero.
type target struct {
	cpu     float64 // seconds per row.per, at most
	ratio   float64 // of the CPU time to that of the floor, at most
	derived float64 // the same, derived by us from cpu
	rate    float64 // per second, at least
	rss     int64   // bytes, at most
	written int64   // bytes to disks per reading, at most
	p99     time.Duration
}

const (
	million = 1_000_000
	onMiB   = 1 << 20
)

// The targets are as they were set: most as CPU seconds on the machine of deploy/README.md, which says little on another.
// A derived ratio is these by the floor there. Where the load has a pace, the rate is that less a hundredth.
var rows = []row{
	{
		name: "payload-decode", what: "the legacy payload, decoded in a loop",
		unit: "M", per: million, target: target{rate: 1_000_000},
		run: payloadDecode,
	},
	{
		name: "bridge-subscribe", what: "a backlog on Mosquitto, taken to Kafka",
		needs:   []string{"MQTT_URL", "KAFKA_BROKERS"},
		service: "mqtt-bridge", floor: "mqtt-to-kafka",
		unit: "M", per: million, target: target{cpu: 6.5, derived: 3.6, rss: 64 * onMiB},
		run: bridgeSubscribe,
	},
	{
		name: "bridge-subscribe-fed", what: "a backlog on a broker that is ideal, taken to Kafka",
		needs:   []string{"KAFKA_BROKERS"},
		service: "mqtt-bridge", floor: "mqtt-to-kafka",
		unit: "M", per: million, target: target{cpu: 3, derived: 3.3},
		run: bridgeFed,
	},
	{
		name: "bridge-listen", what: "devices on 10 connections, at 10,000 readings/s, until the PUBACK",
		needs:   []string{"KAFKA_BROKERS"},
		service: "mqtt-bridge", floor: "endpoint-to-kafka",
		unit: "M", per: million, target: target{cpu: 10, derived: 1.4, rate: 9_900, p99: 50 * time.Millisecond},
		run: bridgeListenPaced,
	},
	{
		name: "bridge-listen-full", what: "devices on 10 connections, as fast as they are acknowledged",
		needs:   []string{"KAFKA_BROKERS"},
		service: "mqtt-bridge", floor: "endpoint-to-kafka",
		unit: "M", per: million, target: target{cpu: 14, derived: 5},
		run: bridgeListenFull,
	},
	{
		name: "ingest-writer", what: "a backlog on Kafka, stored in MongoDB",
		needs:   []string{"KAFKA_BROKERS", "MONGODB_URI"},
		service: "ingest-writer", floor: "kafka-to-mongo",
		unit: "M", per: million, target: target{cpu: 6.5, derived: 2, rss: 100 * onMiB},
		run: ingestWriter,
	},
	{
		name: "cache-updater", what: "a backlog on Kafka, its newest readings kept in Redis",
		needs:   []string{"KAFKA_BROKERS", "REDIS_URL"},
		service: "cache-updater", floor: "kafka-to-redis",
		unit: "M", per: million, target: target{cpu: 3, derived: 5},
		run: cacheUpdater,
	},
	{
		name: "http-latest", what: "GET /api/devices/{id}/latest/, from Redis",
		needs:   queryServers,
		service: "query-api", floor: "http-redis-get",
		unit: "10,000", per: 10_000, target: target{ratio: 1.6, rate: 20_000},
		run: httpLatest,
	},
	{
		name: "http-readings", what: "GET /api/devices/{id}/readings/?limit=100, from MongoDB",
		needs:   queryServers,
		service: "query-api", floor: "http-mongo-find",
		unit: "10,000", per: 10_000, target: target{cpu: 3, derived: 2},
		run: httpReadings,
	},
	{
		name: "http-devices", what: "GET /api/devices/, 20 of them, from MySQL",
		needs:   queryServers,
		service: "query-api", floor: "http-mysql-select",
		unit: "10,000", per: 10_000, target: target{cpu: 1, derived: 2},
		run: httpDevices,
	},
	{
		name: "all-in-one", what: "20,000 readings/s on 10 connections, taken in and stored",
		service: "all-in-one", floor: "endpoint-to-disk",
		unit: "M", per: million, target: target{rate: 19_800, rss: 300_000_000},
		run: allInOnePaced,
	},
	{
		name: "all-in-one-full", what: "four publishers, as fast as they are acknowledged, taken in and stored",
		service: "all-in-one", floor: "endpoint-to-disk",
		unit: "M", per: million, target: target{cpu: 15, derived: 2.8, rss: 300_000_000},
		run: allInOneFull,
	},
	{
		name: "all-in-one-readable", what: "2,000 readings/s, from publish until readable over HTTP",
		service: "all-in-one",
		target:  target{rate: 1_980, p99: 150 * time.Millisecond},
		run:     allInOneReadable,
	},
	{
		name: "all-in-one-minutely", what: "10,000 devices, a reading of each a minute",
		service: "all-in-one",
		target:  target{written: 3_000, p99: 1200 * time.Millisecond},
		run:     allInOneMinutely,
	},
	{
		name: "all-in-one-secondly", what: "20 devices, a reading of each a second",
		service: "all-in-one",
		target:  target{written: 8_000, p99: 1200 * time.Millisecond},
		run:     allInOneSecondly,
	},
	{
		name: "all-in-one-live", what: "1,000 readings/s to 1,000 clients of /api/live/, all of them to each, with what taking in and storing them costs",
		service: "all-in-one",
		unit:    "s of load", per: 1, target: target{cpu: 1, p99: 200 * time.Millisecond},
		run: allInOneLive,
	},
}

// queryServers are what query-api is connected to.
var queryServers = []string{"KAFKA_BROKERS", "MONGODB_URI", "REDIS_URL", "MYSQL_URL"}

// missingServers returns those of needs that no variable names.
func missingServers(needs []string) []string {
	var missing []string
	for _, variable := range needs {
		if server(variable) == "" {
			missing = append(missing, "BENCH_"+variable)
		}
	}
	return missing
}

// measure runs the row with its service and, right before, with its floor.
func (r row) measure(ctx context.Context, b *bench) (figures, error) {
	var floor figures
	if r.floor != "" {
		var err error
		if floor, err = r.run(ctx, b, b.floor(r.floor)); err != nil {
			return figures{}, fmt.Errorf("the floor: %w", err)
		}
	}
	f, err := r.run(ctx, b, b.service(r.service))
	f.floorN, f.floorCPU = floor.n, floor.cpu
	return f, err
}

// cpuPer is the CPU time in seconds for as many as the row gives it for.
func (r row) cpuPer(n int, cpu time.Duration) float64 {
	if n == 0 {
		return 0
	}
	return cpu.Seconds() / float64(n) * float64(r.per)
}

// ratio is that of the CPU time to the floor's; 0 where there is none, or it is too short to be measured.
func (r row) ratio(f figures) float64 {
	if f.n == 0 || f.floorCPU == 0 || r.unit == "" {
		return 0
	}
	return r.cpuPer(f.n, f.cpu) / r.cpuPer(f.floorN, f.floorCPU)
}

func (r row) cpuText(perUnit float64) string {
	if r.unit == "" || perUnit == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f s per %s", perUnit, r.unit)
}

func (f figures) writtenPer() int64 {
	if f.n == 0 {
		return 0
	}
	return f.written / int64(f.n)
}

// missed says what of t was missed, or is "".
func (t target) missed(r row, f figures) string {
	var missed []string
	for _, m := range []struct {
		what   string
		missed bool
	}{
		{"CPU", t.cpu > 0 && r.cpuPer(f.n, f.cpu) > t.cpu},
		{"ratio", t.ratio > 0 && r.ratio(f) > t.ratio},
		{"derived ratio", t.derived > 0 && r.ratio(f) > t.derived},
		{"rate", t.rate > 0 && f.rate < t.rate},
		{"RSS", t.rss > 0 && f.rss > t.rss},
		{"disk", t.written > 0 && f.writtenPer() > t.written},
		{"p99", t.p99 > 0 && f.p99 > t.p99},
	} {
		if m.missed {
			missed = append(missed, m.what)
		}
	}
	return strings.Join(missed, ", ")
}

func (t target) text(r row) string {
	var parts []string
	if t.cpu > 0 {
		parts = append(parts, fmt.Sprintf("%g s per %s", t.cpu, r.unit))
	}
	if t.ratio > 0 {
		parts = append(parts, fmt.Sprintf("ratio %g", t.ratio))
	}
	if t.derived > 0 {
		parts = append(parts, fmt.Sprintf("ratio %g (derived)", t.derived))
	}
	if t.rate > 0 {
		parts = append(parts, fmt.Sprintf("%.0f/s", t.rate))
	}
	if t.rss > 0 {
		parts = append(parts, mib(t.rss))
	}
	if t.written > 0 {
		parts = append(parts, kilobytes(t.written)+" to disk")
	}
	if t.p99 > 0 {
		parts = append(parts, "p99 "+milliseconds(t.p99))
	}
	return strings.Join(parts, ", ")
}
