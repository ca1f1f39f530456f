package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestTail: readings are printed as they come, each once, while the one binary is killed and started again.
func TestTail(t *testing.T) {
	s := freeAddrs(t)
	dir := t.TempDir()
	p := start(t, dir, s)
	eventually(t, 30*time.Second, "ready", func() bool { return strings.Contains(p.Log(), `"msg":"ready"`) }) // tail ends where nothing listens
	tail := exec.Command(binary(t, "all-in-one"), "tail", "--device", "42", "--api", "http://"+s["HTTP_ADDR"], "--json")
	out, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	tail.Stderr = &stderr
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = tail.Process.Kill()
		_ = tail.Wait()
		if t.Failed() {
			t.Logf("it said %q", stderr.String())
		}
	})
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	next := func() (temperature float64) {
		t.Helper()
		select {
		case line, ok := <-lines:
			var r struct{ Temperature float64 }
			if err := json.Unmarshal([]byte(line), &r); err != nil || !ok {
				t.Fatalf("printed %q, says %q", line, stderr.String())
			}
			return r.Temperature
		case <-time.After(30 * time.Second):
			t.Fatal("nothing is printed")
		}
		return 0
	}
	c := connect(t, s["MQTT_LISTEN_ADDR"], "device")
	publish := func(topic string, temperature int) {
		t.Helper()
		if token := c.Publish(topic, 1, false, fmt.Sprintf(`{"temperature": %d}`, temperature)); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatalf("no PUBACK: %v", token.Error())
		}
	}
	// Where the stream begins is not known: it has begun when the first reading is printed.
	first := 0
	eventually(t, time.Minute, "the first reading", func() bool {
		first++
		publish("sensors/42/data", -first)
		return len(lines) > 0
	})
	last := next()
	for len(lines) > 0 || last > float64(-first) {
		last = next()
	}
	for i := range 20 {
		if i == 10 {
			if err := p.Kill(); err != nil {
				t.Fatal(err)
			}
			c.Disconnect(0)
			p = start(t, dir, s)
			c = connect(t, s["MQTT_LISTEN_ADDR"], "device")
		}
		publish("sensors/43/data", 1000)
		publish("sensors/42/data", i)
	}
	c.Disconnect(0)
	for i := range 20 {
		if got := next(); got != float64(i) {
			t.Errorf("reading %d is printed as %v", i, got)
		}
	}
	if err := tail.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := tail.Wait(); err != nil || !strings.Contains(stderr.String(), " s behind: ") {
		t.Errorf("interrupted, it ends with %v, and said %q", err, stderr.String())
	}
}
