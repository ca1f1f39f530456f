package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFirstCommands pastes the README's commands that publish a reading and read it back, for devices that nobody
// has heard of, into a new all-in-one.
func TestFirstCommands(t *testing.T) {
	if _, err := exec.LookPath("mosquitto_pub"); err != nil {
		t.Skip("it takes mosquitto_pub: ", err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?m)^    mosquitto_pub .* -t sensors/42/data .*\n(    .*\n)+`).FindString(string(readme))
	if !strings.Contains(block, "/api/devices/42/latest/") {
		t.Fatalf("no commands that publish as device 42 and read it in README.md: %q", block)
	}
	const rounds, devices = 2, 50
	for round := range rounds {
		s := freeAddrs(t)
		p := start(t, t.TempDir(), s)
		eventually(t, 30*time.Second, "ready", func() bool { return strings.Contains(p.Log(), `"msg":"ready"`) })
		_, mqttPort, _ := net.SplitHostPort(s["MQTT_LISTEN_ADDR"])
		var paste sync.WaitGroup
		for i := range devices {
			paste.Go(func() {
				id := fmt.Sprint(1000*round + i + 1)
				commands := strings.NewReplacer("mosquitto_pub", "mosquitto_pub -p "+mqttPort, "127.0.0.1:8000", s["HTTP_ADDR"], "/42/", "/"+id+"/").Replace(block)
				out, err := exec.CommandContext(t.Context(), "sh", "-c", commands).CombinedOutput()
				if err != nil || !strings.HasPrefix(string(out), `{"device_id":`+id+`,"temperature":21.5,`) {
					t.Errorf("%v; %q from\n%s", err, out, commands)
				}
			})
		}
		paste.Wait()
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
}

// TestDemoDevices: the README's first command waits for a reading of one, also when it is pasted too early. They are
// apart from the user's own, and their names say what they are.
func TestDemoDevices(t *testing.T) {
	s := freeAddrs(t)
	p := start(t, t.TempDir(), s, "--demo=2")
	first := regexp.MustCompile(`(?m)^    curl .*/900001/.*$`).FindString(read(t, repository+"/README.md"))
	command := strings.Replace(first, "127.0.0.1:8000", s["HTTP_ADDR"], 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "sh", "-c", "exec "+command).CombinedOutput(); err != nil || !strings.HasPrefix(string(out), `{"device_id":900001,`) {
		t.Errorf("%v; %q from %q", err, out, command)
	}
	var online []reading
	eventually(t, 30*time.Second, "two devices online", func() bool {
		_, err := p.get("/api/readings/latest_all/", &online)
		return err == nil && len(online) == 2
	})
	for i, id := range []int64{900_001, 900_002} {
		var device struct{ Name string }
		if _, err := p.get(fmt.Sprintf("/api/devices/%d/", id), &device); err != nil || device.Name != fmt.Sprintf("Demo device %d", i+1) || online[i].Device != id {
			t.Errorf("device %d: %+v, %v; online: %+v", id, device, err, online)
		}
	}
}

// TestBanner: on all addresses it shows what a phone and a device of the network use; on this machine's own, no such
// thing.
func TestBanner(t *testing.T) {
	lan, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		t.Skip("this machine has no network: ", err)
	}
	defer lan.Close()
	lanHost := lan.LocalAddr().(*net.UDPAddr).IP.String()
	banner := func(addr string) (text string, components components) {
		for _, l := range []*net.Listener{&components.http, &components.mqtt} {
			if *l, err = net.Listen("tcp", addr); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = (*l).Close() })
		}
		out := new(strings.Builder)
		if err := printBanner(out, &components, "", new(first)); err != nil {
			t.Fatal(err)
		}
		return out.String(), components
	}
	port := func(l net.Listener) string { _, port, _ := net.SplitHostPort(l.Addr().String()); return port }

	text, components := banner(":0")
	for _, want := range []string{
		"http://" + net.JoinHostPort(lanHost, port(components.http)) + "/\n",
		"mqtt://" + net.JoinHostPort(lanHost, port(components.mqtt)) + ",",
		"http://127.0.0.1:" + port(components.http) + "/ in a browser",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if text, _ := banner("127.0.0.1:0"); strings.Contains(text, lanHost) || strings.Contains(text, "a phone") {
		t.Errorf("on 127.0.0.1: %s", text)
	}
}
