package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// runRollups runs a program `all-in-one rollups` on a folder, and returns what it prints and how it ends.
func runRollups(t *testing.T, work, dir string) (printed, logged string, exit int) {
	t.Helper()
	var out, log bytes.Buffer
	command := exec.CommandContext(t.Context(), binary(t, "all-in-one"), "rollups", work)
	command.Env, command.Stdout, command.Stderr = append(os.Environ(), "DATA_DIR="+dir), &out, &log
	_ = command.Run() // how it ends is below
	return out.String(), log.String(), command.ProcessState.ExitCode()
}

// TestRollups breaks a rollup by hand while the service runs and readings arrive: a check names the device and the hour, and a
// rebuild mends it.
func TestRollups(t *testing.T) {
	t.Parallel()
	s, dir := historySettings(t), t.TempDir()
	if _, log, exit := runRollups(t, "check", dir); exit != 2 || !strings.Contains(log, "DATA_DIR") {
		t.Errorf("in an empty folder it ends with %d: %s", exit, log)
	}
	if _, log, exit := runRollups(t, "mend", dir); exit != 2 || !strings.Contains(log, "check|rebuild") {
		t.Errorf("another work than there is ends with %d: %s", exit, log)
	}
	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	client := connect(t, s["MQTT_LISTEN_ADDR"], t.Name())
	at := time.Now().UTC().Truncate(time.Hour).Add(-50 * time.Hour)
	for device := range 2 {
		message := fmt.Sprintf(`{"device_id": %d, "timestamp": %q, "temperature": 21.5}`, device+7, at.Format(time.RFC3339))
		if token := client.Publish("sensors/data", 1, false, message); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatalf("no PUBACK: %v", token.Error())
		}
	}
	loading := make(chan struct{})
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		for n := 0; ; n++ {
			select {
			case <-loading:
				return
			default:
				message := fmt.Sprintf(`{"device_id": 1, "timestamp": %q, "temperature": 1}`, at.Add(time.Duration(n)*time.Second).Format(time.RFC3339))
				client.Publish("sensors/data", 1, false, message).WaitTimeout(10 * time.Second)
			}
		}
	}()
	eventually(t, 30*time.Second, "three days of devices rolled up", func() bool {
		printed, log, exit := runRollups(t, "check", dir)
		if exit != 0 {
			t.Fatalf("a check ends with %d: %s%s", exit, printed, log)
		}
		return strings.HasPrefix(printed, "3 days of devices compared, from ")
	})

	file, err := sqlite.Open(filepath.Join(dir, "readings", at.Format("2006-01")+".db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.Write.ExecContext(t.Context(), "DELETE FROM days WHERE device_id = 7")
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	printed, log, exit := runRollups(t, "check", dir)
	if want := fmt.Sprintf("\ndevice 7, hour %s: differs from the readings\n", at.Format(time.RFC3339)); exit != 1 || !strings.HasSuffix(printed, want) ||
		!strings.Contains(log, "1 hours differ from their readings: run all-in-one rollups rebuild") {
		t.Errorf("a check ends with %d: %s%s", exit, printed, log)
	}
	if printed, log, exit := runRollups(t, "rebuild", dir); exit != 0 || !strings.HasPrefix(printed, "3 days of devices computed, from ") {
		t.Errorf("a rebuild ends with %d: %s%s", exit, printed, log)
	}
	if printed, log, exit := runRollups(t, "check", dir); exit != 0 || !strings.HasPrefix(printed, "3 days of devices compared, from ") {
		t.Errorf("a check behind it ends with %d: %s%s", exit, printed, log)
	}
	close(loading)
	<-loaded
	client.Disconnect(100) // before the service ends, which it would want to reconnect to
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
