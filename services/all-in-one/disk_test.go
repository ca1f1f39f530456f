package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestFewTransactions has readings come in one by one, and looks at what SQLite has written for them.
func TestFewTransactions(t *testing.T) {
	const readings, page = 30, 4096
	s, dir := freeAddrs(t), t.TempDir()
	p := start(t, dir, s)
	stored := func(n int) {
		t.Helper()
		var all []reading
		eventually(t, 20*time.Second, fmt.Sprint(n, " readings stored"), func() bool {
			_, err := p.get("/api/readings/", &all)
			return err == nil && len(all) == n
		})
	}
	publish(t, s["MQTT_LISTEN_ADDR"], "sensors/1/data", `{"temperature": 20}`)
	stored(1)
	before := walBytes(t, dir)
	c := connect(t, s["MQTT_LISTEN_ADDR"], t.Name())
	defer c.Disconnect(100)
	for range readings {
		if token := c.Publish("sensors/1/data", 1, false, `{"temperature": 20}`); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
			t.Fatal(token.Error())
		}
		time.Sleep(100 * time.Millisecond) // as devices do
	}
	stored(1 + readings)
	if grown := walBytes(t, dir) - before; grown > readings*page {
		t.Errorf("%d bytes for %d readings", grown, readings)
	}
}

func walBytes(t *testing.T, dir string) int64 {
	t.Helper()
	wals, err := filepath.Glob(filepath.Join(dir, "readings", "*.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	for _, path := range wals {
		wal, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		sum += wal.Size()
	}
	return sum
}
