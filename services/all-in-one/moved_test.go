package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/sqlite"
)

// beforeAccounts makes the data in dir that of a site from before there were accounts.
func beforeAccounts(t *testing.T, dir string) {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(dir, "metadata.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"DROP TABLE tokens", "DROP TABLE device_credentials", "DROP TABLE provisioning_keys", "DROP TABLE audit", "DROP TABLE site",
		"ALTER TABLE users DROP COLUMN role", "ALTER TABLE users DROP COLUMN password_hash", "ALTER TABLE users DROP COLUMN disabled_at",
		"DELETE FROM metadata_version WHERE version_id > 4",
	} {
		if _, err := db.Write.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMovedDataWarns starts today's program with AUTH=warn on data from before there were accounts: all goes on as before, and each
// client that would be refused is listed once, however often it comes.
func TestMovedDataWarns(t *testing.T) {
	t.Parallel()
	s, dir := freeAddrs(t), t.TempDir()
	s["AUTH"] = "off"
	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, s["MQTT_LISTEN_ADDR"], "sensors/7/data", `{"n": 1}`)
	stored := func(device, n int) {
		t.Helper()
		var readings []any
		eventually(t, time.Minute, fmt.Sprintf("device %d has %d readings", device, n), func() bool {
			_, err := p.get(fmt.Sprintf("/api/devices/%d/readings/", device), &readings)
			return err == nil && len(readings) == n
		})
	}
	stored(7, 1)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	beforeAccounts(t, dir)

	s["AUTH"] = "warn"
	p = start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	const times = 3
	for i := range times {
		for _, device := range []int{7, 8} {
			c := connect(t, s["MQTT_LISTEN_ADDR"], fmt.Sprintf("legacy-%d", device))
			if token := c.Publish(fmt.Sprintf("sensors/%d/data", device), 1, false, fmt.Sprintf(`{"n": %d}`, i)); !token.WaitTimeout(time.Minute) || token.Error() != nil {
				t.Fatalf("no PUBACK for device %d: %v", device, token.Error())
			}
			c.Disconnect(100)
		}
		answer, err := http.Post(p.api+"/api/devices/9/readings/", "application/json", strings.NewReader(fmt.Sprintf(`{"n": %d}`, i)))
		if err != nil || answer.StatusCode != http.StatusAccepted {
			t.Fatalf("%v %v", answer, err)
		}
		_ = answer.Body.Close()
	}
	stored(7, 1+times)
	stored(8, times)
	stored(9, times)

	type refusal struct {
		Surface, Why string
		Client       *string `json:"client_id"`
		Count        int
	}
	var list []refusal
	listed := func() (mqtt []string, http int) {
		if _, err := p.get("/api/auth/would-deny/", &list); err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			switch {
			case r.Surface == "http" && r.Count >= times:
				http++
			case r.Surface == "mqtt" && r.Client != nil && r.Count >= times && strings.HasPrefix(*r.Client, "legacy-"):
				mqtt = append(mqtt, *r.Client)
			}
		}
		slices.Sort(mqtt)
		return mqtt, http
	}
	eventually(t, time.Minute, "each legacy client is listed", func() bool {
		mqtt, http := listed()
		return http == 1 && slices.Equal(mqtt, []string{"legacy-7", "legacy-8"})
	})
	if len(list) != 3 {
		t.Errorf("listed are %+v", list)
	}
	var refused []refusal
	if _, err := p.get("/api/auth/refused/", &refused); err != nil || len(refused) > 0 {
		t.Errorf("refused are %+v, %v", refused, err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
