package examples

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

const (
	// stepTimeout is how long a step may take: an example that starts, a reconnect with its backoff.
	stepTimeout = time.Minute
	// atLeast is how many readings an example measures before and after the restart.
	atLeast = 3
)

// example is a program that publishes readings, and says of each what it has measured.
type example struct {
	device  string
	file    string // in the folder examples
	command []string
	env     []string
	// edits are what a user would edit, and what it is in the test.
	edits map[string]string
	waits bool // it measures nothing until the reading before is acknowledged
}

func examples(t *testing.T, url, mqtt, websocket string) []example {
	host, port, _ := strings.Cut(mqtt, ":")
	venv := absolute(t, ".venv/bin")
	return []example{
		{"python-1", "python/sensor.py", []string{venv + "/python", "sensor.py"}, nil, map[string]string{
			`"localhost", 1883`: fmt.Sprintf("%q, %s", host, port), "INTERVAL = 10.0": "INTERVAL = 0.2",
		}, false},
		{"micropython-1", "micropython/main.py", []string{venv + "/micropython", "main.py"},
			[]string{"MICROPYPATH=" + absolute(t, "testdata/micropython")}, map[string]string{
				`"192.168.1.10", 1883`: fmt.Sprintf("%q, %s", host, port), "INTERVAL = 10000": "INTERVAL = 200",
			}, false},
		{"node-1", "node/sensor.js", []string{"node", "sensor.js"}, nil, map[string]string{
			"mqtt://localhost:1883": "mqtt://" + mqtt, "interval = 10_000": "interval = 200",
		}, false},
		{"node-2", "node/sensor.js", []string{"node", "sensor.js"}, nil, map[string]string{
			"mqtt://localhost:1883": "ws://" + websocket, "node-1": "node-2", "interval = 10_000": "interval = 200",
		}, false},
		{"go-1", "go/main.go", []string{"go", "run", "."}, []string{"GOWORK=off", "GOFLAGS=-mod=readonly"}, map[string]string{
			"tcp://localhost:1883": "tcp://" + mqtt, "10 * time.Second": "200 * time.Millisecond",
		}, false},
		{"shell-1", "shell/mosquitto_pub.sh", []string{"sh", "mosquitto_pub.sh"}, nil, map[string]string{
			"host=localhost port=1883": fmt.Sprintf("host=%s port=%s", host, port), "interval=10 ": "interval=0.2 ",
		}, true},
		{"curl-1", "shell/curl.sh", []string{"sh", "curl.sh"}, nil, map[string]string{
			"http://localhost:8000": url, "interval=10 ": "interval=0.2 ",
		}, true},
	}
}

func TestExamples(t *testing.T) {
	if os.Getenv("TEST_EXAMPLES") != "1" {
		t.Skip("TEST_EXAMPLES is not 1")
	}
	dir := t.TempDir()
	if err := process.Build(t.Context(), dir, "all-in-one"); err != nil {
		t.Fatal(err)
	}
	addrs, err := proxytest.FreeAddrs(3)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + addrs[0]
	site := startSite(t, dir, addrs)
	var running []*run
	for _, e := range examples(t, url, addrs[1], addrs[2]) {
		running = append(running, e.start(t))
	}
	for _, r := range running {
		r.waitStored(t, url, r.waitMeasured(t, atLeast))
	}
	if err := site.Stop(); err != nil {
		t.Fatal(err)
	}
	var during []int
	for _, r := range running {
		n := r.count()
		if !r.waits {
			n = r.waitMeasured(t, n+atLeast)
		}
		during = append(during, n)
	}
	restarted := time.Now()
	startSite(t, dir, addrs)
	for i, r := range running {
		r.waitStored(t, url, r.waitMeasured(t, during[i]+atLeast))
	}
	for _, r := range running {
		r.stop()
		for at, stored := range r.stored(t, url) {
			if measured := r.measured[at]; measured != stored {
				t.Errorf("%s: of %d there is %s, and measured was %q", r.device, at, stored, measured)
			}
		}
	}
	if n := len(get[[]any](t, url+"/api/dead-letters/")); n > 0 {
		t.Errorf("%d dead letters", n)
	}
	checkExports(t, url, restarted)
}

// startSite starts the all-in-one in dir, with the data that is there, and waits until it is ready.
func startSite(t *testing.T, dir string, addrs []string) *process.Process {
	t.Helper()
	p, err := process.Start(process.Spec{
		Binary:   filepath.Join(dir, "all-in-one"),
		Settings: []string{"DATA_DIR=" + filepath.Join(dir, "data"), "HTTP_ADDR=" + addrs[0], "MQTT_LISTEN_ADDR=" + addrs[1], "MQTT_WS_LISTEN_ADDR=" + addrs[2], "KAFKA_LISTEN_ADDR=127.0.0.1:0"},
		Log:      filepath.Join(dir, "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// run is an example that runs.
type run struct {
	example
	cmd   *exec.Cmd
	ended chan struct{} // after the last line

	mu       sync.Mutex
	lines    []string
	order    []int64          // when readings were measured, in milliseconds
	measured map[int64]string // what, as values returns it
}

// start starts e, edited, in a folder of its own.
func (e example) start(t *testing.T) *run {
	t.Helper()
	dir := t.TempDir()
	folder, file := filepath.Split(filepath.Join("../../../examples", e.file))
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range e.edits {
		if bytes.Count(text, []byte(from)) != 1 {
			t.Fatalf("%s has not one %q", e.file, from)
		}
		text = bytes.ReplaceAll(text, []byte(from), []byte(to))
	}
	if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
		t.Fatal(err)
	}
	r := &run{example: e, cmd: exec.Command(e.command[0], e.command[1:]...), ended: make(chan struct{}), measured: map[int64]string{}}
	r.cmd.Dir, r.cmd.Env = dir, append(os.Environ(), e.env...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with what it starts
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stdout, r.cmd.Stderr = in, in
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	go r.read(t, out)
	t.Cleanup(r.stop)
	return r
}

// read takes note of what the example says.
func (r *run) read(t *testing.T, out *os.File) {
	defer close(r.ended)
	defer out.Close()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		r.mu.Lock()
		r.lines = append(r.lines, lines.Text())
		if text, ok := strings.CutPrefix(lines.Text(), "measured "); ok {
			at, values, err := parse([]byte(text))
			if err != nil {
				t.Errorf("%s measured %s: %v", r.device, text, err)
			}
			r.order = append(r.order, at)
			r.measured[at] = values
		}
		r.mu.Unlock()
	}
}

// stop ends the example, and returns when nothing comes of it any more.
func (r *run) stop() {
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
	<-r.ended
	_ = r.cmd.Wait() // it was killed
}

// parse returns when a reading was measured, and its numbers, sorted by name.
func parse(text []byte) (ms int64, values string, err error) {
	var r struct {
		Timestamp             any
		Temperature, Humidity *float64
		Load                  *float64
		Metrics               struct{ Load *float64 }
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return 0, "", err
	}
	switch at := r.Timestamp.(type) {
	case float64:
		ms = int64(at)
	case string:
		parsed, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			return 0, "", err
		}
		ms = parsed.UnixMilli()
	default:
		return 0, "", errors.New("no timestamp")
	}
	canonical, err := json.Marshal([]*float64{r.Temperature, r.Humidity, cmp.Or(r.Load, r.Metrics.Load)})
	return ms, string(canonical), err
}

// waitMeasured returns the number of readings that were measured when they are n or more.
func (r *run) waitMeasured(t *testing.T, n int) int {
	t.Helper()
	r.waitFor(t, fmt.Sprintf("measured %d readings", n), func() bool { return r.count() >= n })
	return r.count()
}

// waitStored returns when the first n readings that were measured are stored.
func (r *run) waitStored(t *testing.T, url string, n int) {
	t.Helper()
	r.waitFor(t, fmt.Sprintf("stored %d readings", n), func() bool {
		stored := r.stored(t, url)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, at := range r.order[:n] {
			if _, ok := stored[at]; !ok {
				return false
			}
		}
		return true
	})
}

func (r *run) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.order)
}

// stored returns the readings of the example that are stored.
func (r *run) stored(t *testing.T, url string) map[int64]string {
	t.Helper()
	all := map[int64]string{}
	for _, reading := range get[[]json.RawMessage](t, url+"/api/devices/"+r.device+"/readings/?limit=1000") {
		at, values, err := parse(reading)
		if err != nil {
			t.Fatal(err)
		}
		all[at] = values
	}
	return all
}

// waitFor returns when done, and fails with what the example has said when that takes too long.
func (r *run) waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(stepTimeout); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Fatalf("%s has not %s in %v; it said:\n%s", r.device, what, stepTimeout, strings.Join(r.lines, "\n"))
		}
	}
}

func get[T any](t *testing.T, url string) (answer T) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %d, %v", url, response.StatusCode, err)
	}
	return answer
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return absolute
}
