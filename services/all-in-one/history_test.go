package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/history"
	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// historySettings are those of a process that seals readings soon.
func historySettings(t *testing.T) environment {
	t.Helper()
	s := freeAddrs(t)
	s["SEAL_AFTER"] = "1s"
	return s
}

// seed is that of the dice: TEST_SEED, or any.
func seed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("TEST_SEED"); s != "" {
		seed = number[uint64](t, s)
	}
	t.Logf("TEST_SEED=%d", seed)
	return seed
}

// historyPlan is of readings of the last days, some of them late.
func historyPlan(readings int, seed uint64) history.Plan {
	now := time.Now()
	return history.Plan{First: 1, Devices: 7, Readings: readings, From: now.Add(-36 * time.Hour), To: now, Late: 40 * 24 * time.Hour, Seed: seed}
}

// TestHistory: whatever is asked about readings that came in any order, twice, in contradiction or weeks late, is what
// brute force finds in the list of them; also right after another late one, and after a restart.
//
// TEST_READINGS sets how many there are.
func TestHistory(t *testing.T) {
	t.Parallel()
	s, data, seed := historySettings(t), t.TempDir(), seed(t)
	p := start(t, data, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	readings := 5000
	if n := os.Getenv("TEST_READINGS"); n != "" {
		readings = number[int](t, n)
	}
	load := history.NewLoad(historyPlan(readings, seed))
	publishLoad(t, load, s)
	p.awaitStored(t, load)
	want := map[string]int{"stored": load.New, "merged": load.Merged, "duplicate": load.Duplicates, "conflict": load.Conflicts, "too_old": 0, "rejected": 0, "released": 0}
	var became map[string]int
	eventually(t, 30*time.Second, "every reading accounted for", func() bool {
		became = p.outcomes(t, s)
		n := 0
		for _, of := range became {
			n += of
		}
		return n >= load.New+load.Merged+load.Duplicates+load.Conflicts
	})
	if !maps.Equal(want, became) {
		t.Errorf("readings became %v, want %v", became, want)
	}
	before := p.checkHistory(t, load, seed)

	begin := time.Now()
	if err := history.PublishOne(t.Context(), "tcp://"+s["MQTT_LISTEN_ADDR"], load.AddLate(begin.Add(-39*24*time.Hour))); err != nil {
		t.Fatal(err)
	}
	p.awaitStored(t, load)
	t.Logf("a late reading is counted after %v", time.Since(begin))
	if after := p.checkHistory(t, load, seed); len(after) != len(before)+1 {
		t.Errorf("%d readings, and one later %d", len(before), len(after))
	}

	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	p = start(t, data, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.checkHistory(t, load, seed)
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	checkSealed(t, data, len(load.Want))
}

// publishGap has readings arrive for as long as there are kills: 5 messages of a device for each.
const publishGap = 400 * time.Millisecond

// TestHistoryKill kills the process at random moments while readings arrive, those of an earlier version move to their months,
// and old ones are sealed. In the end all is as if it had run all the time.
//
// TEST_KILLS sets how often, TEST_SEED the dice.
func TestHistoryKill(t *testing.T) {
	t.Parallel()
	kills := 4
	if n := os.Getenv("TEST_KILLS"); n != "" {
		kills = number[int](t, n)
	}
	s, data, seed := historySettings(t), t.TempDir(), seed(t)
	dice := rand.New(rand.NewPCG(seed, 3))
	plan := historyPlan(2500*kills, seed)
	plan.Old = 40
	load := history.NewLoad(plan)
	if err := history.WriteOld(t.Context(), filepath.Join(data, "readings.db"), load.Old); err != nil {
		t.Fatal(err)
	}
	published := make(chan error, 1)
	go func() { published <- load.Publish(t.Context(), "tcp://"+s["MQTT_LISTEN_ADDR"], publishGap) }()
	for n := range kills {
		p := start(t, data, s)
		before := 0
		eventually(t, 30*time.Second, "readings after the start", func() bool {
			total, err := history.Total(t.Context(), p.api)
			grows := err == nil && before > 0 && total > before
			if err == nil {
				before = max(total, 1)
			}
			return grows || err == nil && total == len(load.Want)
		})
		time.Sleep(time.Duration(dice.Int64N(int64(1800*time.Millisecond))) + 200*time.Millisecond) // the moment of the kill
		if err := p.Kill(); err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
	}
	p := start(t, data, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	p.awaitStored(t, load)
	readings := p.checkHistory(t, load, seed)
	t.Logf("%d kills, %d readings", kills, len(readings))
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	checkSealed(t, data, len(load.Want))
}

// checkSealed checks that most of so many readings are in blocks: else the test has shown little.
func checkSealed(t *testing.T, data string, readings int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "readings", "*.db"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := 0
	for _, file := range files {
		db, err := sqlite.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := db.Read.QueryRowContext(t.Context(), "SELECT coalesce(sum(n), 0) FROM blocks").Scan(&n); err != nil {
			t.Error(err)
		}
		sealed += n
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if sealed < readings/2 || sealed > readings {
		t.Errorf("%d of %d readings are sealed", sealed, readings)
	}
}

func publishLoad(t *testing.T, load *history.Load, s environment) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := load.Publish(ctx, "tcp://"+s["MQTT_LISTEN_ADDR"], 0); err != nil {
		t.Fatal(err)
	}
}

// awaitStored waits until as many readings are stored as the load wants.
func (p *program) awaitStored(t *testing.T, load *history.Load) {
	t.Helper()
	total := 0
	eventually(t, time.Minute, fmt.Sprintf("%d readings stored", len(load.Want)), func() bool {
		var err error
		total, err = history.Total(t.Context(), p.api)
		return err == nil && total >= len(load.Want)
	})
	if total > len(load.Want) {
		t.Errorf("%d readings are stored, want %d", total, len(load.Want))
	}
}

// checkHistory compares what is stored with what was published, and all that is said about it.
func (p *program) checkHistory(t *testing.T, load *history.Load, seed uint64) []history.Reading {
	t.Helper()
	readings, err := history.Read(t.Context(), p.api)
	if err != nil {
		t.Fatal(err)
	}
	if err := load.Check(readings); err != nil {
		t.Error(err)
	}
	if err := history.Compare(t.Context(), p.api, readings, seed); err != nil {
		t.Error(err)
	}
	return readings
}

var outcome = regexp.MustCompile(`(?m)^telltale_writer_readings_total\{outcome="(\w+)"\} (\S+)$`)

// outcomes says what became of readings, by the writer's own counters.
func (p *program) outcomes(t *testing.T, s environment) map[string]int {
	t.Helper()
	res, err := http.Get("http://" + s["OPS_ADDR"] + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	became := map[string]int{}
	for _, m := range outcome.FindAllStringSubmatch(string(text), -1) {
		n, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		became[m[1]] = int(n)
	}
	if len(became) == 0 {
		t.Fatal("the writer counts nothing")
	}
	return became
}
