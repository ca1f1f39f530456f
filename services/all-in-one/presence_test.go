package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// presence is what a device's JSON says of whether it reports.
type presence struct {
	Status       string     `json:"status"`
	LastSeen     *time.Time `json:"last_seen"`
	OfflineAfter float64    `json:"offline_after"`
}

// presence returns that of a device; zero where it is not registered.
func (p *program) presence(t *testing.T, device int) (d presence) {
	t.Helper()
	if _, err := p.get(fmt.Sprintf("/api/devices/%d/", device), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// report publishes a reading of a device, and returns what its arrival is between.
func (p *program) report(t *testing.T, addr string, device int, payload string) (after, before time.Time) {
	t.Helper()
	after = time.Now().Truncate(time.Millisecond)
	publish(t, addr, fmt.Sprintf("sensors/%d/data", device), payload)
	return after, time.Now()
}

// TestPresence is about whether a device reports, as users see it: by the arrival of its readings, within a second.
func TestPresence(t *testing.T) {
	s := freeAddrs(t)
	s["LATEST_TTL"] = "1m"
	mqtt, dir := s["MQTT_LISTEN_ADDR"], t.TempDir()
	p := start(t, dir, s)

	t.Run("a device is online within a second of the PUBACK, whatever the timestamp of its reading", func(t *testing.T) {
		var took []time.Duration
		for i, timestamp := range []string{"2020-01-02T03:04:05Z", "2040-01-02T03:04:05Z", time.Now().Add(-time.Hour).Format(time.RFC3339), "", ""} {
			payload := `{"temperature": 20}`
			if timestamp != "" {
				payload = fmt.Sprintf(`{"temperature": 20, "timestamp": %q}`, timestamp)
			}
			after, before := p.report(t, mqtt, 10+i, payload)
			var d presence
			eventually(t, 10*time.Second, "online", func() bool {
				d = p.presence(t, 10+i)
				return d.Status == "online"
			})
			took = append(took, time.Since(before))
			if d.LastSeen.Before(after) || d.LastSeen.After(before) || d.OfflineAfter != 60 {
				t.Errorf("%+v at %v, which arrived from %v to %v", d, d.LastSeen, after, before)
			}
		}
		slices.Sort(took)
		t.Logf("after %v", took)
		if took[len(took)/2] > time.Second { // of them, since one may wait for this machine
			t.Errorf("online only after %v", took)
		}
	})
	t.Run("it is offline from offline_after on, and online until then", func(t *testing.T) {
		p.report(t, mqtt, 20, `{"temperature": 20}`)
		eventually(t, 10*time.Second, "online", func() bool { return p.presence(t, 20).Status == "online" })
		p.patch(t, "/api/devices/20/", `{"offline_after": 2}`)
		p.report(t, mqtt, 20, `{"temperature": 21}`)
		eventually(t, 20*time.Second, "offline", func() bool {
			asked := time.Now()
			d := p.presence(t, 20)
			end := d.LastSeen.Add(2 * time.Second)
			if d.Status == "online" && asked.After(end) || d.Status == "offline" && time.Now().Before(end) {
				t.Errorf("%s from %v to %v, with the end at %v", d.Status, asked, time.Now(), end)
			}
			return d.Status == "offline"
		})
	})
	t.Run("an imported file registers a device that has never reported", func(t *testing.T) {
		file := fmt.Sprintf(`{"device_id": 40, "temperature": 20, "timestamp": %q}`, time.Now().UTC().Format(time.RFC3339Nano))
		res, err := http.Post(p.api+"/api/readings/import/", "application/x-ndjson", strings.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if !bytes.Contains(body, []byte(`"accepted":1`)) {
			t.Fatalf("%s %s", res.Status, body)
		}
		p.report(t, mqtt, 41, `{"temperature": 21}`) // it comes behind the file
		eventually(t, 10*time.Second, "the next is online", func() bool { return p.presence(t, 41).Status == "online" })
		if d := p.presence(t, 40); d.Status != "never" || d.LastSeen != nil {
			t.Errorf("%+v", d)
		}
	})
	t.Run("no kill of the process forgets a contact", func(t *testing.T) {
		for i := range 5 {
			old := p.presence(t, 10)
			after, before := p.report(t, mqtt, 30, fmt.Sprintf(`{"temperature": %d}`, i))
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			p = start(t, dir, s)
			var d presence
			eventually(t, 30*time.Second, "the contact before the kill", func() bool {
				_, err := p.get("/api/devices/30/", &d)
				return err == nil && d.LastSeen != nil && !d.LastSeen.Before(after)
			})
			if d.LastSeen.After(before) {
				t.Errorf("seen at %v, after %v", d.LastSeen, before)
			}
			if d := p.presence(t, 10); !d.LastSeen.Equal(*old.LastSeen) {
				t.Errorf("another device is seen at %v, was at %v", d.LastSeen, old.LastSeen)
			}
		}
	})
}

func (p *program) patch(t *testing.T, path, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, p.api+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("PATCH %s %s: %s", path, body, res.Status)
	}
}
