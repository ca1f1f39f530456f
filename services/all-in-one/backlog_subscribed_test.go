package main

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// TestSubscribedBacklog has two devices publish many readings without timestamps to a Mosquitto, one directly and
// one through the Mosquitto of a gateway, while the bridge that subscribes there is away. All are kept, each at a
// millisecond of its own, in the order in which they were sent, also when the bridge stops once more in between.
func TestSubscribedBacklog(t *testing.T) {
	broker := os.Getenv("TEST_MQTT_URL")
	if broker == "" && os.Getenv("TEST_REQUIRE") == "1" {
		t.Fatal("TEST_MQTT_URL is not set")
	}
	if broker == "" {
		t.Skip("TEST_MQTT_URL is not set")
	}
	addrs := freeAddrs(t)
	addrs["KAFKA_LISTEN_WRITES"] = "true"
	p := start(t, t.TempDir(), addrs)
	name := fmt.Sprintf("backlog-%d", time.Now().UnixNano())
	bridge := process.Spec{Binary: binary(t, "mqtt-bridge"), Log: filepath.Join(t.TempDir(), "log"), Settings: []string{
		"MQTT_URL=" + broker, "MQTT_CLIENT_ID=" + name, "MQTT_TOPICS=" + name + "/+/data", "KAFKA_BROKERS=" + addrs["KAFKA_LISTEN_ADDR"],
	}}
	site := strings.TrimPrefix(broker, "tcp://")
	t.Cleanup(func() { // a clean session replaces the bridge's
		connect(t, site, name).Disconnect(100)
	})
	gateway := startGateway(t, broker, name)

	const day, more = 8640, 1000
	publishBoth := func(first, n int) {
		burst(t, site, name+"/1/data", first, n)
		burst(t, gateway, name+"/2/data", first, n)
	}
	startBridge(t, bridge)() // there is a session now
	publishBoth(0, day)
	stop := startBridge(t, bridge)
	eventually(t, time.Minute, "some of it is stored", func() bool {
		var stored []reading
		_, err := p.get("/api/devices/1/readings/?limit=1", &stored)
		return err == nil && len(stored) > 0
	})
	stop()
	publishBoth(day, more)
	stop = startBridge(t, bridge)
	p.expectInOrder(t, 1, day+more)
	p.expectInOrder(t, 2, day+more)
	p.expectNoDeadLetters(t)
	stop()
}

// startBridge starts mqtt-bridge, which has subscribed when it returns. stop ends it with SIGTERM.
func startBridge(t *testing.T, spec process.Spec) (stop func()) {
	t.Helper()
	b, err := process.Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Kill() }) // it has ended, unless the test failed
	if err := b.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := b.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// startGateway starts a Mosquitto that passes on what is published to it under name to the broker, as a bridge of
// it, and returns its address.
func startGateway(t *testing.T, broker, name string) string {
	t.Helper()
	to, err := url.Parse(broker)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := proxytest.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(addrs[0], ":")
	password, _ := to.User.Password()
	config := fmt.Sprintf(`listener %s 127.0.0.1
allow_anonymous true
max_queued_messages 0
connection %s
address %s
remote_username %s
remote_password %s
topic %s/# out 1
`, port, name, to.Host, to.User.Username(), password, name)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mosquitto.conf"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("docker", "run", "--detach", "--rm", "--name", name, "--network", "host", "--volume", dir+":/gateway:ro",
		"eclipse-mosquitto:2", "mosquitto", "-c", "/gateway/mosquitto.conf")
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("start a Mosquitto: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("docker", "rm", "--force", name).CombinedOutput(); err != nil {
			t.Errorf("remove the Mosquitto: %v\n%s", err, out)
		}
	})
	return addrs[0]
}
