package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// reading is a reading as an HTTP client sees it.
type reading struct {
	Device      int64              `json:"device_id"`
	Temperature *float64           `json:"temperature"`
	Humidity    *float64           `json:"humidity"`
	Timestamp   time.Time          `json:"timestamp"`
	Metrics     map[string]float64 `json:"metrics"`
	Attributes  map[string]string  `json:"attributes"`
	Source      string             `json:"timestamp_source"`
	Status      string             `json:"status"`
}

// publish sends a message at QoS 1 with a client of its own, and waits for the PUBACK.
func publish(t *testing.T, addr, topic, payload string) {
	t.Helper()
	c := connect(t, addr, t.Name())
	defer c.Disconnect(100)
	if token := c.Publish(topic, 1, false, payload); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("no PUBACK for %s: %v", payload, token.Error())
	}
}

// connect returns a client of the endpoint at addr, which is waited for.
func connect(t *testing.T, addr, id string) mqtt.Client {
	t.Helper()
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(id).SetConnectTimeout(5 * time.Second).
		SetConnectRetry(true).SetConnectRetryInterval(20 * time.Millisecond))
	if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	return c
}

func TestEndToEnd(t *testing.T) {
	s := freeAddrs(t)
	dir := filepath.Join(t.TempDir(), "new", "data")
	binary(t, "all-in-one") // built before the clock starts
	begin := time.Now()
	p := start(t, dir, s)
	publish(t, s["MQTT_LISTEN_ADDR"], "sensors/data",
		`{"device_id": 42, "temperature": 21.5, "humidity": 40.25, "pressure": 1013, "firmware": "1.2", "timestamp": "2026-01-02T03:04:05.678"}`)
	publish(t, s["MQTT_LISTEN_ADDR"], "sensors/43/data", `[{"temperature": 1}, {"temperature": "junk"}]`)

	var stored []reading
	eventually(t, 10*time.Second-time.Since(begin), "the first reading over HTTP, 10 s after the start", func() bool {
		_, err := p.get("/api/devices/42/readings/", &stored)
		return err == nil && len(stored) == 1
	})
	r := stored[0]
	if r.Device != 42 || *r.Temperature != 21.5 || *r.Humidity != 40.25 || r.Metrics["pressure"] != 1013 || r.Attributes["firmware"] != "1.2" ||
		!r.Timestamp.Equal(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)) || r.Source != "device" {
		t.Errorf("stored: %+v", r)
	}

	t.Run("it is ready when every service is", func(t *testing.T) {
		var before string
		eventually(t, 10*time.Second, "ready in the log", func() (ready bool) {
			before, _, ready = strings.Cut(p.Log(), `"msg":"ready"`)
			return ready
		})
		if n := strings.Count(before, "joined the consumer group"); n != 4 {
			t.Errorf("ready with %d of 4 consumer groups:\n%s", n, before)
		}
	})
	t.Run("one bad element of a batch does not fail its neighbours", func(t *testing.T) {
		eventually(t, 5*time.Second, "the good one", func() bool {
			_, err := p.get("/api/readings/?device_id=43", &stored)
			return err == nil && len(stored) == 1 && stored[0].Source == "server" && *stored[0].Temperature == 1
		})
	})
	t.Run("unknown devices are registered under their own id", func(t *testing.T) {
		var device struct {
			ID   int64
			Name string
			User int64
		}
		eventually(t, 5*time.Second, "device 42", func() bool {
			status, err := p.get("/api/devices/42/", &device)
			return err == nil && status == 200
		})
		var owner struct{ Username string }
		if _, err := p.get("/api/users/"+json.Number(jsonInt(device.User)).String()+"/", &owner); err != nil || owner.Username != "default_user" || device.Name != "Device 42" {
			t.Errorf("device %+v, owner %+v, %v", device, owner, err)
		}
	})
	t.Run("the latest value is online", func(t *testing.T) {
		var latest reading
		eventually(t, 5*time.Second, "the latest reading of device 42", func() bool {
			status, err := p.get("/api/devices/42/latest/", &latest)
			return err == nil && status == 200
		})
		if latest.Status != "online" || *latest.Temperature != 21.5 {
			t.Errorf("latest: %+v", latest)
		}
	})
	t.Run("after a restart everything is there, the latest value too", func(t *testing.T) {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		p = start(t, dir, s)
		var latest reading
		eventually(t, 10*time.Second, "the latest reading of device 42", func() bool {
			status, err := p.get("/api/devices/42/latest/", &latest)
			return err == nil && status == 200
		})
		if _, err := p.get("/api/readings/", &stored); err != nil || len(stored) != 2 {
			t.Errorf("%d readings after the restart, %v", len(stored), err)
		}
	})
}

func jsonInt(n int64) string { b, _ := json.Marshal(n); return string(b) }

func TestTrouble(t *testing.T) {
	t.Run("a second process on the same directory: a clear line and 1", func(t *testing.T) {
		dir := t.TempDir()
		s := freeAddrs(t)
		first := start(t, dir, s)
		publish(t, s["MQTT_LISTEN_ADDR"], "sensors/1/data", `{"temperature": 1}`)
		second := start(t, dir, freeAddrs(t))
		expectEnd(t, second, 1, dir+" is in use by process")
		var stored []reading
		eventually(t, 10*time.Second, "the first goes on", func() bool {
			_, err := first.get("/api/readings/", &stored)
			return err == nil && len(stored) == 1
		})
	})
	t.Run("a port in use: a line that names the setting and the process, and 1", func(t *testing.T) {
		s := freeAddrs(t)
		first := start(t, t.TempDir(), s)
		eventually(t, 10*time.Second, "the first answers", func() bool { _, err := first.get("/api/users/", new([]any)); return err == nil })
		for _, variable := range []string{"MQTT_LISTEN_ADDR", "KAFKA_LISTEN_ADDR", "HTTP_ADDR", "OPS_ADDR"} {
			clash := freeAddrs(t)
			clash[variable] = s[variable]
			second := start(t, t.TempDir(), clash)
			expectEnd(t, second, 1, fmt.Sprintf("address already in use by all-in-one (process %d): stop what uses it, or set %s to another address", first.PID(), variable))
		}
	})
	t.Run("a data directory that cannot be made: a clear line and 1", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		expectEnd(t, start(t, filepath.Join(file, "data"), freeAddrs(t)), 1, "DATA_DIR")
	})
	bad := func(t *testing.T, variable, value, said string) {
		s := freeAddrs(t)
		s[variable] = value
		p := start(t, t.TempDir(), s)
		expectEnd(t, p, 2, said)
		if log := p.Log(); strings.Count(log, "\n") != 1 {
			t.Errorf("more than one line:\n%s", log)
		}
	}
	for variable, value := range map[string]string{
		"MQTT_TOPICS": "a/#/b", "MAPPINGS": "tasmata", "DEVICE_TIME_ZONE": "Mars/Base", "LATEST_TTL": "-1s", "LOG_LEVEL": "loud", "HTTP_ADDR": "nowhere", "OPS_ADDR": ":x",
		"KAFKA_LISTEN_ADDR": "256.1.1.1:80", "LOG_RETENTION": "-1h", "LOG_MAX_BYTES": "0", "DATA_MAX_BYTES": "10MB", "CORS_ORIGINS": "https://app.example.com/",
	} {
		t.Run("a bad "+variable+": one line, with the variable and the value, and 2", func(t *testing.T) {
			bad(t, variable, value, variable+`="`+value)
		})
	}
	for variable, value := range map[string]string{
		"MONGODB_URI": "postgres://x/y", "REDIS_URL": "http://x", "DATABASE_URL": "oracle://iot:hunter2@x/y", "MQTT_URL": "http://x",
		"KAFKA_BROKERS": "kafka:x",
	} {
		t.Run("a bad "+variable+": one line, with the variable and without the value, which may hold a password, and 2", func(t *testing.T) {
			bad(t, variable, value, "all-in-one: "+variable+": ")
		})
	}
}

// expectEnd waits until p has ended by itself, and compares its exit code and the last line of its log
// with what is expected.
func expectEnd(t *testing.T, p *program, code int, part string) {
	t.Helper()
	select {
	case <-p.Ended():
	case <-time.After(15 * time.Second):
		t.Fatal("it is still there after 15 s")
	}
	if got := p.ExitCode(); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	if last := p.LogEnd(1); !strings.Contains(last, part) {
		t.Errorf("the last line is %q, want %q in it", last, part)
	}
}
