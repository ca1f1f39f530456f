package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

// TestMistypedVariables: whoever mistypes a variable gets one warning, with the right one. What another program
// reads is no mistake.
func TestMistypedVariables(t *testing.T) {
	const nowhere = "127.0.0.1:1" // what a service needs is away, so that it touches nothing
	listenAddr, brokers := [2]string{"MQTT_LISTN_ADDR", "MQTT_LISTEN_ADDR"}, [2]string{"KAFKA_BROKER", "KAFKA_BROKERS"}
	for service, names := range map[string][2]string{
		"all-in-one": listenAddr, "mqtt-bridge": listenAddr, "ingest-writer": brokers, "cache-updater": brokers, "query-api": brokers,
	} {
		t.Run(service, func(t *testing.T) {
			want := fmt.Sprintf(`"variable":%q,"meant":%q`, names[0], names[1])
			p, err := process.Start(process.Spec{Binary: binary(t, service), Log: filepath.Join(t.TempDir(), "log"), Settings: []string{
				"KAFKA_BROKERS=" + nowhere, "MQTT_URL=tcp://" + nowhere, "MONGODB_URI=mongodb://" + nowhere + "/iot", "REDIS_URL=redis://" + nowhere,
				"DATABASE_URL=mysql://iot:iot@" + nowhere + "/iot", "HTTP_ADDR=127.0.0.1:0", "DATA_DIR=" + t.TempDir(), "SIM_RATE=1",
				names[0] + "=" + nowhere,
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Kill() })
			eventually(t, 30*time.Second, "it is started", func() bool { return strings.Contains(p.Log(), `"msg":"started"`) })
			if log := p.Log(); strings.Count(log, `"meant":`) != 1 || strings.Count(log, want) != 1 {
				t.Errorf("want one warning with %s:\n%s", want, log)
			}
		})
	}
}
