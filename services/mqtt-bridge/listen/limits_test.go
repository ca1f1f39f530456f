package listen

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

func u16(n int) string { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }

func u32(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

// A client that goes beyond a limit gets a reason code in MQTT 5, is counted, and is gone; MQTT 3 sees the end of its connection.
func TestReasonCodes(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	alias := func(n int, topic string) []byte {
		return whole(0x30, text(topic), "\x03\x23"+u16(n))
	}
	for name, tt := range map[string]struct {
		connect bool // sent in place of CONNECT
		send    []byte
		code    packet.Code
		reason  string
	}{
		"a long client id":            {true, hello(packet.V5, long[:257], 60), packet.ClientIDNotValid, byClientID},
		"a long CONNECT":              {true, hello(packet.V5, long[:20_000], 60), packet.PacketTooLarge, byPacketSize},
		"a long will":                 {true, will("a", "w", long[:5000], 0, 0), packet.PacketTooLarge, byWill},
		"a long topic of a will":      {true, will("a", long[:600], "x", 0, 0), packet.TopicNameInvalid, byWill},
		"a long packet, announced":    {false, []byte{0x30, 0xff, 0xff, 0xff, 0x7f}, packet.PacketTooLarge, byPacketSize},
		"a long SUBSCRIBE, announced": {false, []byte{0x82, 0xff, 0xff, 0x03}, packet.PacketTooLarge, byPacketSize},
		"a long topic":                {false, publish(packet.V5, 0, 0, long[:600], "x"), packet.TopicNameInvalid, byTopic},
		"many levels":                 {false, publish(packet.V5, 0, 0, strings.Repeat("/", 16), "x"), packet.TopicNameInvalid, byTopic},
		"a topic alias out of range":  {false, alias(17, "t"), packet.TopicAliasInvalid, byTopicAliases},
		"an unknown topic alias":      {false, alias(1, ""), packet.ProtocolError, byProtocol},
		"a topic with a wildcard":     {false, publish(packet.V5, 0, 0, "a/#", "x"), packet.TopicNameInvalid, byProtocol},
		"a subscription identifier":   {false, whole(0x82, u16(1), "\x02\x0b\x01", text("a"), "\x00"), packet.SubscriptionIDsNotTaken, byProtocol},
		"authentication":              {false, []byte{0xf0, 0x00}, packet.ProtocolError, byProtocol},
		"a second CONNECT":            {false, hello(packet.V5, "a", 60), packet.ProtocolError, byProtocol},
		"a malformed packet":          {false, []byte{0x82, 0x00}, packet.Malformed, byMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				p := e.dial(t, "192.0.2.1")
				kind, want := packet.KindDisconnect, []byte{byte(tt.code)}
				if tt.connect {
					kind, want = packet.KindConnack, []byte{0, byte(tt.code)}
				} else {
					p.send(hello(packet.V5, "a", 60))
					p.want(packet.KindConnack)
				}
				go func() { _, _ = p.Write(tt.send) }()
				if h, b := p.receive(); h.Kind != kind || !bytes.HasPrefix(b, want) { // a CONNACK says why, too
					t.Errorf("received a packet of kind %d with % x, want kind %d with % x", h.Kind, b, kind, want)
				}
				_ = p.Close()
				e.serving.Wait()
				if e.refused(tt.reason) != 1 {
					t.Errorf("it is not counted as %s", tt.reason)
				}
			})
		})
	}
}

// What a client is refused, and that another takes its id, is one line a minute, with how often there was no line.
func TestRefusalsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		var log bytes.Buffer
		e.log = slog.New(slog.NewTextHandler(&log, nil))
		tooLong := func() {
			p := e.connect(t, packet.V5, "talkative")
			p.send([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
			p.want(packet.KindDisconnect)
			_ = p.Close()
			e.serving.Wait()
		}
		takeover := func() {
			first, second := e.connect(t, packet.V31, "twice"), e.connect(t, packet.V31, "twice")
			first.want(0)
			_ = second.Close()
			e.serving.Wait()
		}
		for range 3 {
			tooLong()
			takeover()
		}
		time.Sleep(time.Minute)
		tooLong()
		takeover()
		for line, want := range map[string][]string{
			"reason=packet_size": {`client_id=talkative remote=192.0.2.1:0 count=1`, `client_id=talkative remote=192.0.2.1:0 count=3`},
			"client_id=twice":    {`closed=192.0.2.1:0 count=1`, `closed=192.0.2.1:0 count=3`},
		} {
			var got []string
			for l := range strings.Lines(log.String()) {
				if strings.Contains(l, line) {
					got = append(got, l)
				}
			}
			if len(got) != len(want) || !strings.Contains(got[0], want[0]) || !strings.Contains(got[1], want[1]) {
				t.Errorf("logged %q, want %q", got, want)
			}
		}
	})
}

func TestLongPacketOfMQTT3(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		p := e.connect(t, packet.V31, "a")
		p.send([]byte{0x30, 0xff, 0xff, 0xff, 0x7f})
		p.want(0)
	})
}

// writeEvery is that of package paced.
const writeEvery = 5 * time.Millisecond

func TestTopicAliases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		alias := func(n int, topic string) []byte { return whole(0x30, text(topic), "\x03\x23"+u16(n), "x") }
		ping := func(p *peer) {
			t.Helper()
			p.send([]byte("\xc0\x00"))
			p.want(packet.KindPingresp)
		}
		p := e.connect(t, packet.V5, "a")
		for range 3 { // they replace each other
			for n := range topicAliases {
				p.send(alias(n+1, strings.Repeat("x", 500)))
				p.send(alias(n+1, ""))
			}
		}
		ping(p)
		if n := e.budget.Sessions.Used(); n < topicAliases*500-1024 || n > topicAliases*600 {
			t.Errorf("%d bytes are taken for %d topics", n, topicAliases)
		}
		_ = p.Close()
		e.serving.Wait()
		if n := e.budget.Sessions.Used(); n != 0 {
			t.Errorf("%d bytes are taken when the connection has ended", n)
		}

		e.budget.Sessions.Add(e.budget.Sessions.Limit()) // others take all
		p = e.connect(t, packet.V5, "b")
		for n := range 8 {
			p.send(alias(n+1, "sensors/by/right"))
		}
		ping(p)
		p.send(alias(9, strings.Repeat("x", 500)))
		p.want(packet.KindDisconnect, byte(packet.QuotaExceeded))
	})
}

// Whoever leaves long packets incomplete keeps devices of other addresses from nothing.
func TestIncompletePackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		long := publish(packet.V31, 1, 1, "other", strings.Repeat("x", 1_000_000))
		for range 20 {
			p := e.dial(t, "192.0.2.1")
			p.greet()
			go func() { _, _ = p.Write(long[:500_000]) }()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n, limit := e.budget.Incomplete.Used(), e.budget.Incomplete.Limit(); n < limit/2 || n > limit*3/4 {
			t.Errorf("an address has taken %d of %d bytes", n, limit)
		}
		other := e.dial(t, "192.0.2.2")
		other.greet()
		start := time.Now()
		other.send(long)
		other.want(packet.KindPuback, 0, 1)
		if d := time.Since(start); d > time.Second {
			t.Errorf("another address waits for %v", d)
		}
		time.Sleep(21 * (packetTimeout + 2*time.Second))
		synctest.Wait()
		if n := len(e.incomplete.of); n != 0 || e.budget.Incomplete.Used() != 0 {
			t.Errorf("%d addresses are remembered, %d bytes taken", n, e.budget.Incomplete.Used())
		}
	})
}

// Handshakes are bounded, and a client that does not end its own is cut off.
func TestHandshakes(t *testing.T) {
	e := testEndpoint(t)
	dir := t.TempDir()
	e.cfg.Files.Cert, e.cfg.Files.Key = tlsfilestest.New(t).Write(t, dir, "bridge", "127.0.0.1")
	if err := e.secure(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		e.stop = make(chan struct{})
		atATime := e.budget.Handshakes.Limit() / handshakeBytes
		var silent []*peer
		for i := range 2 * atATime {
			silent = append(silent, e.dial(t, fmt.Sprint("192.0.2.", i%250)))
		}
		synctest.Wait()
		if n := e.budget.Handshakes.Used() / handshakeBytes; n != atATime {
			t.Errorf("%d handshakes at a time, want %d", n, atATime)
		}
		start := time.Now()
		for _, p := range silent {
			_ = p.SetReadDeadline(time.Now().Add(time.Minute))
			_, _ = io.Copy(io.Discard, p)
		}
		if d := time.Since(start); d > 2*connectTimeout+5*time.Second {
			t.Errorf("the last was cut off after %v", d)
		}
		e.serving.Wait()
		if n := e.budget.Handshakes.Used(); n != 0 {
			t.Errorf("%d bytes are taken", n)
		}
		p := e.dial(t, "192.0.2.1")
		secured := tls.Client(p, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is the test's own
		if err := secured.Handshake(); err != nil {
			t.Error(err)
		}
	})
}
