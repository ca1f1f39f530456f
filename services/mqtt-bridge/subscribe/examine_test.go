package subscribe

import (
	"net"
	"strings"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/telltale-iot/telltale/pkg/doctor"
)

// answering is the address of a broker that lets in who knows its password, and a channel of who came.
func answering(t *testing.T, password string) (string, <-chan *packets.ConnectPacket) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	came, done := make(chan *packets.ConnectPacket, 1), make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			packet, err := packets.ReadPacket(conn)
			if connect, ok := packet.(*packets.ConnectPacket); ok && err == nil {
				answer := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
				if string(connect.Password) != password {
					answer.ReturnCode = packets.ErrRefusedBadUsernameOrPassword
				}
				_ = answer.Write(conn)
				_, _ = packets.ReadPacket(conn) // the goodbye
				came <- connect
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().String(), came
}

func TestExamine(t *testing.T) {
	addr, came := answering(t, "right")
	for _, tt := range []struct{ name, url, want string }{
		{"a good one", "tcp://iot:right@" + addr, "ok    MQTT_URL  tcp://" + addr + " answers, and lets the bridge in\n"},
		{"a wrong password", "tcp://iot:S3cr3tW0rd@" + addr, "; correct the user and password of MQTT_URL\n"},
		{"a dead one", "tcp://iot:S3cr3tW0rd@127.0.0.1:1", "connection refused; start it, or correct MQTT_URL"},
	} {
		var out strings.Builder
		doctor.Run(t.Context(), &out, []doctor.Check{Config{URL: tt.url, ClientID: "bridge"}.Examine()})
		if got := out.String(); !strings.Contains(got, tt.want) || strings.Contains(got, "S3cr3tW0rd") {
			t.Errorf("%s: %s", tt.name, got)
		}
		if strings.Contains(tt.url, addr) {
			if c := <-came; c.ClientIdentifier == "bridge" || !c.CleanSession {
				t.Errorf("%s: it comes as %q, clean session %v: it takes the bridge's", tt.name, c.ClientIdentifier, c.CleanSession)
			}
		}
	}
}
