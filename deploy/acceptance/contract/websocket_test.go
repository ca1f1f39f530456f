package contract

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

// TestWebSocket publishes by MQTT over WebSocket, which takes the same as MQTT does.
func TestWebSocket(t *testing.T) {
	if sut.web == "" {
		t.Skip("no MQTT over WebSocket (ACCEPT_MQTT_WS_URL)")
	}
	t.Run("readings are acknowledged and stored", func(t *testing.T) {
		t.Parallel()
		device, c := newDevice(), connectTo(t, sut.web)
		for i, qos := range []byte{0, 1, 2} {
			wait(t, c.Publish(topicOf(device), qos, false, `{"temperature": 1, "timestamp": "`+at(i)+`"}`))
		}
		wait(t, c.Publish(topicOf(device), 1, false, "["+strings.Repeat(`{"temperature": 1, "note": "long"},`, 2000)+`{"temperature": 2}]`))
		produced(t, device, 2004)
	})
	t.Run("what is none is a dead letter", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		wait(t, connectTo(t, sut.web).Publish(topicOf(device), 1, false, "junk"))
		checkDeadLetter(t, waitForDeadLetters(t, topicOf(device), 1)[0], "junk", "invalid_json")
	})
	for name, test := range map[string]struct {
		protocol string
		header   http.Header
		status   int
	}{
		"by a page of another origin":    {"mqtt", http.Header{"Origin": {"http://other.example"}}, http.StatusForbidden},
		"by a name that is not its own":  {"mqtt", http.Header{"Host": {"other.example"}}, http.StatusMisdirectedRequest},
		"without the subprotocol":        {"", nil, http.StatusBadRequest},
		"with a subprotocol of others'":  {"wamp", nil, http.StatusBadRequest},
		"by a program, as it should be":  {"mqtt", nil, http.StatusSwitchingProtocols},
		"and with more than it can take": {"wamp, mqtt", nil, http.StatusSwitchingProtocols},
	} {
		t.Run("a request "+name, func(t *testing.T) {
			t.Parallel()
			header := test.header.Clone()
			if header == nil {
				header = http.Header{}
			}
			if test.protocol != "" {
				header.Set("Sec-WebSocket-Protocol", test.protocol)
			}
			conn, answer, err := websocket.DefaultDialer.DialContext(t.Context(), sut.web, header)
			if answer == nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if conn != nil {
				_ = conn.Close()
			}
			if answer.StatusCode != test.status {
				t.Errorf("answered %s, want %d", answer.Status, test.status)
			}
		})
	}
}
