package historycheck

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// waitTimeout is how long something may take that is waited for, but for the loads of the long checks.
const waitTimeout = time.Minute

// binDir has the binary, which is built once.
var binDir string

func TestMain(m *testing.M) {
	var err error
	if binDir, err = os.MkdirTemp("", "telltale-history-"); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binDir)
	os.Exit(code)
}

var build = sync.OnceValue(func() error { return process.Build(context.Background(), binDir, "all-in-one") })

// long reports whether the checks are to be as long as their figures need.
func long() bool { return os.Getenv("TEST_HISTORY") == "1" }

// onlyLong skips a check that takes minutes whatever its size.
func onlyLong(t *testing.T) {
	t.Helper()
	if !long() {
		t.Skip("TEST_HISTORY is not 1")
	}
}

// choose returns the one or the other.
func choose(short, length int) int {
	if long() {
		return length
	}
	return short
}

// fromEnv is the number that an environment variable has, or else another one.
func fromEnv(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// system is an all-in-one on a folder of its own.
type system struct {
	*process.Process
	api, mqtt string // URLs
	data      string
	settings  []string
}

// sealing has the readings of an hour sealed as soon as they are there and the hour is over.
const sealing = "SEAL_AFTER=1s"

// start starts one on an empty folder.
func start(t *testing.T, settings ...string) *system {
	t.Helper()
	addrs, err := proxytest.FreeAddrs(2)
	if err != nil {
		t.Fatal(err)
	}
	s := &system{api: "http://" + addrs[0], mqtt: "tcp://" + addrs[1], data: filepath.Join(t.TempDir(), "data")}
	s.settings = []string{"DATA_DIR=" + s.data, "HTTP_ADDR=" + addrs[0], "MQTT_LISTEN_ADDR=" + addrs[1], "KAFKA_LISTEN_ADDR=127.0.0.1:0"}
	s.start(t, settings...)
	return s
}

func (s *system) start(t *testing.T, settings ...string) {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(process.Spec{
		Binary: filepath.Join(binDir, "all-in-one"), Settings: append(s.settings, settings...), Log: filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Process = p
	t.Cleanup(func() {
		_ = p.Kill() // where it has not ended by a restart
		if t.Failed() {
			t.Logf("the end of the log:\n%s", p.LogEnd(20))
		}
	})
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// restart stops it and starts it on the same folder, with other settings.
func (s *system) restart(t *testing.T, settings ...string) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	s.start(t, settings...)
}

// metric is the value of a metric, as /metrics names it with its labels; 0 where it is not there.
func (s *system) metric(t *testing.T, name string) float64 {
	t.Helper()
	response, err := http.Get("http://" + s.OpsAddr() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return 0
}

// became is how many readings have had an outcome since the start.
func (s *system) became(t *testing.T, outcome string) int {
	t.Helper()
	return int(s.metric(t, fmt.Sprintf("telltale_writer_readings_total{outcome=%q}", outcome)))
}

// awaitStored waits until so many readings are stored, and no longer than within for one more.
func (s *system) awaitStored(t *testing.T, want int) {
	t.Helper()
	for last, since := -1, time.Now(); last != want; time.Sleep(20 * time.Millisecond) {
		n, err := s.total(t.Context())
		if err != nil || n > want || time.Since(since) > waitTimeout {
			t.Fatalf("%d of %d readings are stored, %v", n, want, err)
		}
		if n != last {
			last, since = n, time.Now()
		}
	}
}

// awaitSealed waits until no reading is a row any more, and no longer than a minute for one of them.
func (s *system) awaitSealed(t *testing.T) {
	t.Helper()
	const hotRows = "telltale_store_hot_rows"
	for last, since := -1.0, time.Now(); last != 0; time.Sleep(20 * time.Millisecond) {
		n := s.metric(t, hotRows)
		if time.Since(since) > waitTimeout {
			t.Fatalf("%v readings are not sealed", n)
		}
		if n != last {
			last, since = n, time.Now()
		}
	}
	if n := s.metric(t, "telltale_store_sealed_readings_total"); n == 0 {
		t.Fatal("nothing was sealed")
	}
}

// eventually waits until ok is true.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// awaitDeadLetter waits for the only dead letter that there is.
func (s *system) awaitDeadLetter(t *testing.T, reason string) {
	t.Helper()
	var letters []struct{ Reason string }
	eventually(t, waitTimeout, "a dead letter", func() bool {
		s.get(t, "/api/dead-letters/", &letters)
		return len(letters) > 0
	})
	if len(letters) != 1 || letters[0].Reason != reason {
		t.Errorf("dead letters %+v, want one: %s", letters, reason)
	}
}
