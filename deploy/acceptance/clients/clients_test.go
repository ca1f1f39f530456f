package clients

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

const (
	description = "../../../services/query-api/api/openapi.yaml"
	messages    = "../../../services/query-api/api/asyncapi.yaml"
	// commandTimeout is how long one linter, generator or compiler may take, with what it downloads.
	commandTimeout = 3 * time.Minute
	// storedTimeout is how long a reading may take until it can be read.
	storedTimeout = 30 * time.Second
)

func requireTools(t *testing.T) {
	t.Helper()
	if os.Getenv("TEST_CLIENTS") != "1" {
		t.Skip("TEST_CLIENTS is not 1")
	}
}

// run runs a command in dir.
func run(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// tool is the path of a program that npm has installed.
func tool(t *testing.T, name string) string { return absolute(t, "node_modules/.bin/"+name) }

func absolute(t *testing.T, path string) string {
	t.Helper()
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(absolute); err != nil {
		t.Fatal(err)
	}
	return absolute
}

// TestLint: Redocly and Spectral find nothing in the descriptions, and no example that its schema does not allow.
// What they must not look for stands with its reason in redocly.yaml, .spectral.yaml and .spectral-asyncapi.yaml.
func TestLint(t *testing.T) {
	requireTools(t)
	t.Run("redocly", func(t *testing.T) {
		t.Parallel()
		run(t, ".", nil, tool(t, "redocly"), "lint", "--config", "redocly.yaml", description)
	})
	t.Run("spectral", func(t *testing.T) {
		t.Parallel()
		run(t, ".", nil, tool(t, "spectral"), "lint", "--fail-severity", "hint", "--ruleset", ".spectral.yaml", description)
	})
	t.Run("spectral, of the messages", func(t *testing.T) {
		t.Parallel()
		run(t, ".", nil, tool(t, "spectral"), "lint", "--fail-severity", "hint", "--ruleset", ".spectral-asyncapi.yaml", messages)
	})
}

// TestClients: the clients that oapi-codegen and openapi-typescript generate compile, and read a device, its reading
// and what went wrong.
func TestClients(t *testing.T) {
	requireTools(t)
	url := startSite(t)
	t.Run("go", func(t *testing.T) {
		t.Parallel()
		dir := copyOf(t, "testdata/go")
		// What it uses is not generated yet, so it is no file for the tools of Go before.
		if err := os.Rename(filepath.Join(dir, "client_test.go.txt"), filepath.Join(dir, "client_test.go")); err != nil {
			t.Fatal(err)
		}
		env := []string{"GOWORK=off", "GOFLAGS=-mod=readonly", "TELLTALE_URL=" + url}
		run(t, dir, env, "go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", absolute(t, description))
		run(t, dir, env, "go", "vet", "./...")
		run(t, dir, env, "go", "test", "-count=1", "./...")
	})
	t.Run("typescript", func(t *testing.T) {
		t.Parallel()
		dir := copyOf(t, "testdata/typescript")
		if err := os.Symlink(absolute(t, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		run(t, dir, nil, tool(t, "openapi-typescript"), absolute(t, description), "--output", "api.ts")
		run(t, dir, nil, tool(t, "tsc"), "--project", ".")
		run(t, dir, nil, "node", "client.js", url)
	})
}

// copyOf copies a folder to where things may be generated into it.
func copyOf(t *testing.T, folder string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startSite starts an all-in-one with device 42, which has sent one reading, and a dead letter of device 44.
func startSite(t *testing.T) (url string) {
	t.Helper()
	site, err := process.StartAllInOne(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := site.Stop(); err != nil {
			t.Error(err)
		}
	})
	device := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(site.MQTT).SetClientID("device"))
	if err := finish(device.Connect()); err != nil {
		t.Fatal(err)
	}
	defer device.Disconnect(0)
	for _, err := range []error{
		finish(device.Publish("sensors/42/data", 1, false, `{"temperature":21.7,"pressure":1013.2,"firmware":"1.2"}`)),
		finish(device.Publish("sensors/44/data", 1, false, `{"temperature":`)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/api/devices/", "/api/readings/", "/api/dead-letters/"} {
		waitForRow(t, site.HTTP+path)
	}
	return site.HTTP
}

func finish(token mqtt.Token) error {
	if !token.WaitTimeout(storedTimeout) {
		return errors.New("mqtt: no answer")
	}
	return token.Error()
}

// waitForRow returns when the list at url is not empty.
func waitForRow(t *testing.T, url string) {
	t.Helper()
	for deadline := time.Now().Add(storedTimeout); ; time.Sleep(20 * time.Millisecond) {
		var rows []any
		response, err := http.Get(url)
		if err == nil {
			err = json.NewDecoder(response.Body).Decode(&rows)
			response.Body.Close()
		}
		switch {
		case len(rows) > 0:
			return
		case err != nil || time.Now().After(deadline):
			t.Fatalf("%s has %d rows: %v", url, len(rows), err)
		}
	}
}
