package secured

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

// build builds the services and returns where they are.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := process.Build(t.Context(), dir, "mqtt-bridge", "ingest-writer", "cache-updater", "query-api"); err != nil {
		t.Fatal(err)
	}
	return dir
}

// start runs the service until t ends, with nothing but settings in its environment. At the end it must stop
// as it should, and its log show no password.
func start(t *testing.T, dir, service string, settings map[string]string) *process.Process {
	t.Helper()
	spec := process.Spec{Binary: filepath.Join(dir, service), Log: filepath.Join(t.TempDir(), "log")}
	for name, value := range settings {
		spec.Settings = append(spec.Settings, name+"="+value)
	}
	p, err := process.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		select {
		case <-p.Ended():
		default:
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
		}
		if strings.Contains(p.Log(), password) || strings.Contains(p.Log(), wrongPassword) {
			t.Error("the log shows a password")
		}
		if t.Failed() {
			t.Logf("%s:\n%s", service, p.Log())
		}
	})
	return p
}

// readiness is what the service says of itself.
func readiness(p *process.Process) (status int, text string) {
	if p.OpsAddr() == "" {
		return 0, "not started"
	}
	return get("http://" + p.OpsAddr() + "/readyz?verbose")
}

func get(url string) (status int, body string) {
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}
