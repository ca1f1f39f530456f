package bridge_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

// A client that speaks no TLS where it has to is told so in its version of MQTT.
func TestListenTellsToUseTLS(t *testing.T) {
	t.Parallel()
	ca, dir := tlsfilestest.New(t), t.TempDir()
	cfg := defaults()
	cfg.Listen.Files.Cert, cfg.Listen.Files.Key = ca.Write(t, dir, "bridge", "127.0.0.1")
	b := endpoint(t, newKafka(t), cfg)
	const rest = "\x02\x00\x3c\x00\x03abc"
	tests := []struct {
		name, said string
		code       string // the CONNACK begins with it; "": nothing is answered
		reason     string
	}{
		{"MQTT 3.1", "\x10\x11\x00\x06MQIsdp\x03" + rest, "\x20\x02\x00\x05", ""},
		{"MQTT 3.1.1", "\x10\x0f\x00\x04MQTT\x04" + rest, "\x20\x02\x00\x05", ""},
		{"MQTT 5", "\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc", "\x20", "TLS"},
		{"a long CONNECT of which the beginning is there", "\x10\xff\x7f\x00\x04MQTT\x05\x02", "\x20", "tls/ca.crt"},
		{"no CONNECT", "\x30\x02\x00\x00", "", ""},
		{"no MQTT", "GET / HTTP/1.1\r\n\r\n", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("tcp", b.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(testTimeout))
			if _, err := io.WriteString(c, tt.said); err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(c) // it may be reset where nothing is answered
			answer := string(got)
			if tt.code == "" && answer != "" || !strings.HasPrefix(answer, tt.code) || !strings.Contains(answer, tt.reason) {
				t.Errorf("answered %q", answer)
			}
			if tt.reason != "" && (len(answer) < 6 || answer[2:4] != "\x00\x87" || int(answer[1]) != len(answer)-2 || int(answer[4]) != len(answer)-5) {
				t.Errorf("no CONNACK of MQTT 5: %q", answer)
			}
		})
	}
	b.reaches("refusals_total:no_tls", float64(len(tests)))
	b.conserved()
}
