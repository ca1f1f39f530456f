package main

import (
	"testing"

	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/services/query-api/newcredential"
)

// TestCredentialOnMosquitto: Mosquitto is told a password by the service alone, so that the command makes none that lets nobody in.
func TestCredentialOnMosquitto(t *testing.T) {
	t.Setenv("MQTT_DYNSEC_URL", "tls://telltale@mosquitto.example:8883")
	for _, tt := range []struct {
		args    []string
		refused bool
	}{
		{[]string{"credential", "create", "--device=kitchen-1"}, true},
		{[]string{"credential", "create", "--gateway=hall", "--devices=42"}, true},
		{[]string{"credential", "list"}, false},
		{[]string{"credential", "delete", "7"}, false},
	} {
		request, flags, _ := newcredential.In(tt.args)
		if err := settings.Parse(flags, &credentialCommand{Request: request}); (err != nil) != tt.refused {
			t.Errorf("%q: %v", tt.args, err)
		}
	}
}
