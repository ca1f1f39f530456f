package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/telltale-iot/telltale/pkg/daemon"
)

func TestTakeSession(t *testing.T) {
	dir := t.TempDir()
	start := func(want string) *os.File {
		t.Helper()
		id, f, err := takeSession(dir, "plant", true)
		if err != nil || id != want {
			t.Fatalf("its session is %q, %v, want %q", id, err, want)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f
	}
	first := start("plant")
	start("plant-2")
	start("plant-3")
	_ = first.Close() // of a replica that ended, the next one takes the session
	start("plant")
	start("plant-4")

	var wrong *daemon.ConfigError
	if _, _, err := takeSession(dir, "plant", false); !errors.As(err, &wrong) || wrong.Variable != "MQTT_SHARED" {
		t.Errorf("one more that does not share: %v, want an error that names MQTT_SHARED", err)
	}
	start("plant-5") // the refused one has taken nothing
	if _, _, err := takeSession(filepath.Join(dir, "missing"), "plant", true); !errors.As(err, &wrong) || wrong.Variable != "MQTT_REPLICA_DIR" {
		t.Errorf("without the folder: %v, want an error that names it", err)
	}
}
