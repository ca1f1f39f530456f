package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/ledger"
	"github.com/telltale-iot/telltale/services/simulator/simulator"
)

// TestKill kills the process at random moments while devices publish, and starts it again on what it left
// behind. Every reading that got a PUBACK must be there in the end: once, as it was published.
//
// TEST_KILLS sets how often, TEST_SEED the dice.
func TestKill(t *testing.T) {
	kills, seed := 12, rand.Uint64()
	if s := os.Getenv("TEST_KILLS"); s != "" {
		kills = number[int](t, s)
	}
	if s := os.Getenv("TEST_SEED"); s != "" {
		seed = number[uint64](t, s)
	}
	dice := rand.New(rand.NewPCG(seed, 0))
	data, addrs := t.TempDir(), freeAddrs(t)
	record := filepath.Join(t.TempDir(), "ledger.jsonl")

	fleet, err := simulator.New(simulator.Config{
		URL: "tcp://" + addrs["MQTT_LISTEN_ADDR"], Devices: 50, Connections: 5, Rate: 40, InFlight: 500, Ledger: record,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	publishing, stop := context.WithCancel(t.Context())
	defer stop()
	published := make(chan error, 1)
	go func() { published <- fleet.Run(publishing) }()

	for range kills {
		p := start(t, data, addrs)
		before := fleet.Report().Acknowledged
		eventually(t, 30*time.Second, "a PUBACK after the start", func() bool { return fleet.Report().Acknowledged > before })
		time.Sleep(time.Duration(dice.Int64N(int64(1500 * time.Millisecond)))) // the moment of the kill
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, data, addrs)
	before := fleet.Report().Acknowledged
	eventually(t, 30*time.Second, "a PUBACK after the last start", func() bool { return fleet.Report().Acknowledged > before })
	stop()
	if err := <-published; err != nil {
		t.Fatalf("publish: %v", err)
	}

	l, err := ledger.Read(record)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report, err := l.Await(ctx, p.api)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kills (seed %d): %v", kills, seed, report)
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if report.Acknowledged < 100*kills {
		t.Errorf("only %d readings were acknowledged", report.Acknowledged)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

func number[T int | uint64](t *testing.T, s string) T {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		t.Fatal(err)
	}
	return T(n)
}
