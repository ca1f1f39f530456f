package compose

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/proxytest"
)

// TestReplicasOfTheBridge has three replicas of mqtt-bridge share the messages of a broker. Each needs a session of
// its own there, and those that replace them, in new containers, need the same sessions: in one that nobody comes
// back to, a third of the messages would wait until it expires.
func TestReplicasOfTheBridge(t *testing.T) {
	c := needsDocker(t, read(t, "../../../docker-compose.yml"))
	if err := os.CopyFS(c.dir+"/deploy/mosquitto", os.DirFS("../../mosquitto")); err != nil {
		t.Fatal(err)
	}
	free, err := proxytest.FreeAddrs(2)
	if err != nil {
		t.Fatal(err)
	}
	c.env = append(c.env, "MQTT_SHARED=true", "MQTT_PORT="+strings.TrimPrefix(free[0], "127.0.0.1:"), "MQTTS_PORT="+strings.TrimPrefix(free[1], "127.0.0.1:"))
	c.mustRun("sh", "deploy/env.sh")
	want := []string{"telltale-bridge", "telltale-bridge-2", "telltale-bridge-3"}
	for range 2 {
		c.mustRun("docker", "compose", "up", "-d", "--force-recreate", "--scale", "mqtt-bridge=3", "mosquitto", "mqtt-bridge")
		got := map[string]string{} // client id by container
		for deadline := time.Now().Add(testTimeout); len(got) < len(want) && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			for line := range strings.Lines(c.mustRun("docker", "compose", "logs", "mqtt-bridge")) {
				container, entry, _ := strings.Cut(line, "|")
				var log struct {
					Msg      string
					ClientID string `json:"client_id"`
				}
				if json.Unmarshal([]byte(entry), &log) == nil && log.Msg == "subscribed" {
					got[container] = log.ClientID
				}
			}
		}
		if ids := slices.Sorted(maps.Values(got)); !slices.Equal(ids, want) {
			t.Fatalf("the replicas have the sessions %q, want %q", ids, want)
		}
	}
}
