package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// row is something to measure.
type row struct {
	name   string
	what   string
	needs  []string // the servers, by the variables that name them
	unit   string   // what the CPU time is given for, and how many of them; "": it says nothing
	per    int
	target target
	run    func(ctx context.Context, b *bench) (figures, error)
}

// figures are what was measured; what does not apply is zero.
type figures struct {
	n        int           // readings or requests
	cpu      time.Duration // user+sys of the service for all of them
	rate     float64       // per second
	rss      int64         // bytes, the peak
	p50, p99 time.Duration
	note     string
}

// target is what is aimed at; what is not is zero.
type target struct {
	cpu  float64 // seconds per row.per, at most
	rate float64 // per second, at least
	rss  int64   // bytes, at most
	p99  time.Duration
}

const (
	million = 1_000_000
	onMiB   = 1 << 20
)

var rows = []row{
	{
		name: "payload-decode", what: "the legacy payload, decoded in a loop",
		unit: "M", per: million, target: target{rate: 1_000_000, cpu: 0.5},
		run: payloadDecode,
	},
	{
		name: "bridge-subscribe", what: "a backlog on Mosquitto, taken to Kafka",
		needs: []string{"MQTT_URL", "KAFKA_BROKERS"},
		unit:  "M", per: million, target: target{cpu: 12, rss: 64 * onMiB},
		run: bridgeSubscribe,
	},
	{
		name: "bridge-listen", what: "devices on 10 connections, at 10,000 readings/s, until the PUBACK",
		needs: []string{"KAFKA_BROKERS"},
		unit:  "M", per: million, target: target{cpu: 14, rate: 9_900, p99: 50 * time.Millisecond},
		run: bridgeListenPaced,
	},
	{
		name: "bridge-listen-full", what: "devices on 10 connections, as fast as they are acknowledged",
		needs: []string{"KAFKA_BROKERS"},
		unit:  "M", per: million, target: target{cpu: 14},
		run: bridgeListenFull,
	},
	{
		name: "ingest-writer", what: "a backlog on Kafka, stored in MongoDB",
		needs: []string{"KAFKA_BROKERS", "MONGODB_URI"},
		unit:  "M", per: million, target: target{cpu: 6.5, rss: 100 * onMiB},
		run: ingestWriter,
	},
	{
		name: "cache-updater", what: "a backlog on Kafka, its newest readings kept in Redis",
		needs: []string{"KAFKA_BROKERS", "REDIS_URL"},
		unit:  "M", per: million, target: target{cpu: 3},
		run: cacheUpdater,
	},
	{
		name: "http-latest", what: "GET /api/devices/{id}/latest/, from Redis",
		needs: queryServers,
		unit:  "10,000", per: 10_000, target: target{cpu: 0.6, rate: 20_000},
		run: httpLatest,
	},
	{
		name: "http-readings", what: "GET /api/devices/{id}/readings/?limit=100, from MongoDB",
		needs: queryServers,
		unit:  "10,000", per: 10_000, target: target{cpu: 3},
		run: httpReadings,
	},
	{
		name: "http-devices", what: "GET /api/devices/, 20 of them, from MySQL",
		needs: queryServers,
		unit:  "10,000", per: 10_000, target: target{cpu: 1},
		run: httpDevices,
	},
	{
		name: "all-in-one", what: "20,000 readings/s, taken in and stored",
		unit: "M", per: million, target: target{rate: 19_800, rss: 300_000_000},
		run: allInOneIntake,
	},
	{
		name: "all-in-one-readable", what: "2,000 readings/s, from publish until readable over HTTP",
		target: target{rate: 1_980, p99: 500 * time.Millisecond},
		run:    allInOneReadable,
	},
}

// queryServers are what query-api is connected to.
var queryServers = []string{"KAFKA_BROKERS", "MONGODB_URI", "REDIS_URL", "MYSQL_URL"}

func (r row) missingServers() []string {
	var missing []string
	for _, variable := range r.needs {
		if server(variable) == "" {
			missing = append(missing, "BENCH_"+variable)
		}
	}
	return missing
}

// cpuPer is the CPU time in seconds for as many as the row gives it for.
func (r row) cpuPer(f figures) float64 {
	if f.n == 0 {
		return 0
	}
	return f.cpu.Seconds() / float64(f.n) * float64(r.per)
}

func (r row) cpuText(f figures) string {
	if r.unit == "" {
		return "–"
	}
	return fmt.Sprintf("%.2f per %s", r.cpuPer(f), r.unit)
}

// missed says what of t was missed, or is "".
func (t target) missed(r row, f figures) string {
	var missed []string
	if t.cpu > 0 && r.cpuPer(f) > t.cpu {
		missed = append(missed, "CPU")
	}
	if t.rate > 0 && f.rate < t.rate {
		missed = append(missed, "rate")
	}
	if t.rss > 0 && f.rss > t.rss {
		missed = append(missed, "RSS")
	}
	if t.p99 > 0 && f.p99 > t.p99 {
		missed = append(missed, "p99")
	}
	return strings.Join(missed, ", ")
}

func (t target) text(r row) string {
	var parts []string
	if t.cpu > 0 {
		parts = append(parts, fmt.Sprintf("%g per %s", t.cpu, r.unit))
	}
	if t.rate > 0 {
		parts = append(parts, fmt.Sprintf("%.0f/s", t.rate))
	}
	if t.rss > 0 {
		parts = append(parts, mib(t.rss))
	}
	if t.p99 > 0 {
		parts = append(parts, "p99 "+milliseconds(t.p99))
	}
	return strings.Join(parts, ", ")
}
