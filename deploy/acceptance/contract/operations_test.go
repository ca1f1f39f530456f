package contract

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestOperationsPort(t *testing.T) {
	for _, ops := range sut.ops {
		t.Run(ops, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{"/livez", "/readyz"} {
				if a := call(t, http.MethodGet, ops+path, ""); a.status != http.StatusOK {
					t.Errorf("%s: %d %s", path, a.status, a.body)
				}
			}
			short, verbose := call(t, http.MethodGet, ops+"/readyz", ""), call(t, http.MethodGet, ops+"/readyz?verbose", "")
			if verbose.status != http.StatusOK || len(verbose.body) <= len(short.body) {
				t.Errorf("/readyz?verbose names nothing: %d %s", verbose.status, verbose.body)
			}
			families := scrape(t, ops)
			var dependencies int
			for _, m := range families["telltale_dependency_up"].GetMetric() {
				dependencies++
				if name := m.GetLabel()[0].GetValue(); m.GetGauge().GetValue() != 1 || !strings.Contains(verbose.body, name) {
					t.Errorf("dependency %s: up %v, and /readyz?verbose says %s", name, m.GetGauge().GetValue(), verbose.body)
				}
			}
			if dependencies == 0 {
				t.Error("/metrics has no telltale_dependency_up")
			}
		})
	}
}

// scrape returns the metrics of an operations port.
func scrape(t *testing.T, ops string) map[string]*dto.MetricFamily {
	t.Helper()
	a := call(t, http.MethodGet, ops+"/metrics", "")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.body))
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("%s/metrics: %d: %v", ops, a.status, err)
	}
	return families
}

// TestProcess starts all-in-one beside the system under test.
func TestProcess(t *testing.T) {
	t.Run("port 0 picks a free one, the chosen addresses are logged as JSON, and SIGTERM exits 0 within 10 s", func(t *testing.T) {
		t.Parallel()
		p, err := start(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var addrs map[string]bool
		eventually(t, func() error {
			if addrs = addrsIn(p.Log()); len(addrs) < 4 {
				return fmt.Errorf("%d addresses are logged, want 4 (MQTT, Kafka, HTTP, operations):\n%s", len(addrs), p.Log())
			}
			return nil
		})
		for addr := range addrs {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				continue
			}
			_ = conn.Close()
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(p.Log()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("logged %q, want JSON", line)
			}
		}
	})
	for _, setting := range []string{
		"LOG_LEVEL=loud", "LATEST_TTL=soon", "LATEST_TTL=-1s", "LATEST_TTL=0s", "CORS_ORIGINS=app.example.com", "CORS_ORIGINS=null",
		"HTTP_ADDR=nowhere", "OPS_ADDR=127.0.0.1:70000",
		"MQTT_LISTEN_ADDR=127.0.0.1", "MQTT_TOPICS=sensors/#/data", "MQTT_TOPICS=,", "MAPPINGS=tasmata", "MAPPINGS=none.yaml", "DEVICE_TIME_ZONE=Mars", "MQTT_URL=nonsense",
		"KAFKA_LISTEN_ADDR=127.0.0.1:x", "KAFKA_BROKERS=,", "KAFKA_BROKERS=localhost", "KAFKA_TOPIC=raw data",
		"MONGODB_URI=nonsense", "REDIS_URL=nonsense", "DATABASE_URL=oracle://localhost/iot",
	} {
		t.Run("exit code 2 and one clear line: "+setting, func(t *testing.T) {
			t.Parallel()
			name, _, _ := strings.Cut(setting, "=")
			p, err := start(t.TempDir(), setting)
			if err != nil {
				t.Fatal(err)
			}
			select {
			case <-p.Ended():
			case <-time.After(testTimeout):
				t.Errorf("it runs on: %v", p.Stop())
			}
			if code := p.ExitCode(); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			var complaints []string
			for line := range strings.Lines(p.Log()) {
				if !strings.Contains(line, `"level":"INFO"`) {
					complaints = append(complaints, line)
				}
			}
			if len(complaints) != 1 || !strings.Contains(complaints[0], name) {
				t.Errorf("%d lines, want one that names %s:\n%s", len(complaints), name, p.Log())
			}
		})
	}
}

// addrsIn returns the values of log attributes that are addresses.
func addrsIn(log string) map[string]bool {
	addrs := map[string]bool{}
	for line := range strings.Lines(log) {
		var attributes map[string]any
		if json.Unmarshal([]byte(line), &attributes) != nil {
			continue
		}
		for name, value := range attributes {
			if addr, ok := value.(string); ok && strings.HasSuffix(name, "addr") && !strings.HasSuffix(addr, ":0") {
				addrs[addr] = true
			}
		}
	}
	return addrs
}
