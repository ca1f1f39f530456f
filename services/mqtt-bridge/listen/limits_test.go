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

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

func u16(n int) string { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }

func u32(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

func subscribe(version byte, filters ...string) []byte {
	parts := []string{u16(1)}
	if version == packet.V5 {
		parts = append(parts, "\x00")
	}
	for _, f := range filters {
		parts = append(parts, text(f), "\x02")
	}
	return whole(0x82, parts...)
}

// will is a CONNECT of MQTT 5 with a will that is due delay seconds after the end of the connection.
func will(id, topic, payload string, delay, session int) []byte {
	return whole(0x10, text("MQTT"), "\x05\x04", u16(60), "\x05\x11"+u32(session), text(id), "\x05\x18"+u32(delay), text(topic), text(payload))
}

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
					kind, want = packet.KindConnack, []byte{0, byte(tt.code), 0}
				} else {
					p.send(hello(packet.V5, "a", 60))
					p.want(packet.KindConnack)
				}
				go func() { _, _ = p.Write(tt.send) }()
				p.want(kind, want...)
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

func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		ask := func(p *peer, filters ...string) []byte {
			p.send(subscribe(packet.V5, filters...))
			_, body := p.receive()
			return body[3:]
		}
		p := e.connect(t, packet.V5, "a")
		levels := strings.Repeat("+/", 32_000) + "#"
		go p.send(whole(0x82, u16(1), "\x00", text(levels[:16_000]), "\x00")) // as many levels as a packet can hold
		p.want(packet.KindSuback, 0, 1, 0, byte(packet.FilterInvalid))
		got := ask(p, "a", "a", "$SYS/#", "$share/g/a", "a/#/b", strings.Repeat("/", 16), strings.Repeat("x", 513))
		want := []byte{0, 0, byte(packet.NotAuthorized), byte(packet.SharedNotSupported), byte(packet.FilterInvalid), byte(packet.FilterInvalid), byte(packet.FilterInvalid)}
		if string(got) != string(want) {
			t.Errorf("granted % x, want % x", got, want)
		}
		for i := range maxFilters - 1 {
			if got := ask(p, fmt.Sprint("b", i)); got[0] != 0 {
				t.Fatalf("subscription %d is answered %x", i, got)
			}
		}
		if got := ask(p, "one more"); got[0] != byte(packet.QuotaExceeded) || e.refused(bySubscriptions) != 1 {
			t.Errorf("one more is answered %x", got)
		}
		p.send(whole(0xa2, u16(2), "\x00", text("a"), text("never")))
		p.want(packet.KindUnsuback, 0, 2, 0, 0, byte(packet.NoSubscription))
		if got := ask(p, "one more"); got[0] != 0 {
			t.Errorf("with room again it is answered %x", got)
		}

		e.hub.filters = maxSubscriptions // of others
		if got := ask(e.connect(t, packet.V5, "b"), "a"); got[0] != byte(packet.QuotaExceeded) {
			t.Errorf("one more of all is answered %x", got)
		}
		e.hub.filters = maxFilters
		_ = p.Close()
		time.Sleep(sessionExpiry + 2*expireEvery)
		e.expireNow()
		if len(e.hub.subscribers) != 0 || e.hub.filters != 0 || e.hub.connected.Load() != 0 {
			t.Errorf("%d subscribers and %d filters are left of a session that is over", len(e.hub.subscribers), e.hub.filters)
		}
	})
}

// What a client sent over a connection that was replaced does not change the subscriptions of its session: that
// connection would be sent the messages which its successor is waiting for.
func TestSubscriptionsOfAReplacedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		first := e.connect(t, packet.V31, "a")
		before := e.clients["a"].conn
		second := e.connect(t, packet.V31, "a")
		first.want(0)
		if err := before.subscribe([]byte(u16(1) + text("noise") + "\x00")); err == nil || e.hub.filters != 0 {
			t.Errorf("a subscription over it: %v, and there are %d", err, e.hub.filters)
		}
		second.send(subscribe(packet.V31, "noise"))
		second.want(packet.KindSuback)
		if err := before.unsubscribe([]byte(u16(1) + text("noise"))); err == nil || e.hub.filters != 1 {
			t.Errorf("the end of a subscription over it: %v, and there are %d", err, e.hub.filters)
		}
		second.send(publish(packet.V31, 0, 0, "noise", "x"))
		second.want(packet.KindPublish)
	})
}

// expireNow is a round of expireUntil.
func (e *Endpoint) expireNow() {
	stop := make(chan struct{})
	time.AfterFunc(expireEvery+expireEvery/2, func() { close(stop) })
	e.expireUntil(stop)
}

func TestSubscriberThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		blind, looking, loud := e.connect(t, packet.V31, "blind"), e.connect(t, packet.V31, "looking"), e.connect(t, packet.V31, "loud")
		for _, p := range []*peer{blind, looking} {
			p.send(subscribe(packet.V31, "#"))
			p.want(packet.KindSuback)
		}
		const messages, size = 100, 100_000
		received := make(chan int)
		go func() {
			n := 0
			for ; n < messages; n++ {
				if h, _ := looking.receive(); h.Kind != packet.KindPublish {
					break
				}
			}
			received <- n
		}()
		for range messages {
			loud.send(publish(packet.V31, 0, 0, "noise", strings.Repeat("x", size)))
			time.Sleep(2 * writeEvery)
			if n := e.budget.Subscribers.Used(); n > subscriberBytes+size {
				t.Fatalf("%d bytes wait for one subscriber", n)
			}
		}
		if n := <-received; n != messages {
			t.Errorf("who reads received %d of %d messages", n, messages)
		}
		if n := testutil.ToFloat64(e.metrics.dropped); n < messages-subscriberBytes/size-2 {
			t.Errorf("%v messages are counted as dropped", n)
		}
		time.Sleep(11 * time.Second) // the time that it may take to read
		synctest.Wait()
		if n := e.budget.Subscribers.Used(); n != 0 || e.clients["blind"] != nil && e.clients["blind"].conn != nil {
			t.Errorf("%d bytes wait for a subscriber that reads nothing", n)
		}
	})
}

// writeEvery is that of package paced.
const writeEvery = 5 * time.Millisecond

func TestAnswersThatNobodyReads(t *testing.T) {
	for name, b := range map[string][]byte{
		"to pings":            []byte("\xc0\x00"),
		"to releases":         whole(0x62, u16(7)),
		"to ignored messages": publish(packet.V31, 1, 7, "noise", ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				p := e.connect(t, packet.V31, "a")
				_ = p.SetWriteDeadline(time.Time{})
				sent := 0
				for range 100_000 {
					if _, err := p.Write(b); err != nil {
						break
					}
					sent++
				}
				if sent*2 > 4*maxUnsent+2*firstRead {
					t.Errorf("%d packets were taken of a client that reads no answer", sent)
				}
				e.serving.Wait()
			})
		})
	}
}

func TestDetachedSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		leave := func(p *peer) {
			t.Helper()
			p.send([]byte{0xe0, 0})
			p.want(0)
		}
		for i := range 100 {
			leave(e.connect(t, packet.V31, fmt.Sprint("nothing left ", i)))
		}
		e.serving.Wait()
		if n := len(e.clients) + e.detached.Len(); n != 0 {
			t.Errorf("%d sessions of which nothing is left are kept", n)
		}
		hold := func(i int) {
			p := e.connect(t, packet.V31, fmt.Sprint("unreleased ", i))
			p.send(publish(packet.V31, 2, 7, "noise", "x"))
			p.want(packet.KindPubrec, 0, 7)
			leave(p)
		}
		for i := range maxDetached + 5 {
			hold(i)
		}
		e.serving.Wait()
		if n := len(e.clients); n != maxDetached || e.detached.Len() != n || e.clients["unreleased 4"] != nil || e.clients["unreleased 5"] == nil {
			t.Errorf("%d sessions are kept, want the last %d", n, maxDetached)
		}

		p := e.dial(t, "192.0.2.1")
		p.send(hello(packet.V31, "unreleased 7", 60))
		p.want(packet.KindConnack, 1, 0) // its session is there
		again := publish(packet.V31, 2, 7, "noise", "x")
		again[0] |= 8
		p.send(again)
		p.want(packet.KindPubrec, 0, 7)
		p.send(whole(0x62, u16(7)))
		p.want(packet.KindPubcomp, 0, 7)
		leave(p)
		e.serving.Wait()
		if e.clients["unreleased 7"] != nil {
			t.Error("a session is kept whose message was released")
		}

		time.Sleep(sessionExpiry)
		e.expireNow()
		if n := len(e.clients) + e.detached.Len(); n != 0 {
			t.Errorf("%d sessions are kept for longer than %v", n, sessionExpiry)
		}
		if n := e.budget.Sessions.Used() + e.budget.InFlight.Used(); n != 0 {
			t.Errorf("%d bytes are taken", n)
		}
	})
}

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

func TestWills(t *testing.T) {
	taken := func(e *Endpoint) bool { return e.budget.InFlight.Used() > 0 }
	connect := func(t *testing.T, e *Endpoint, b []byte) *peer {
		p := e.dial(t, "192.0.2.1")
		p.send(b)
		p.want(packet.KindConnack)
		return p
	}
	const reading = `{"device_id": 1, "temperature": 1}`
	for name, tt := range map[string]struct {
		delay, session int
		wait           time.Duration // from the end of the connection until it is due
		back           []byte        // a CONNECT before that
		published      bool
	}{
		"without a delay it is published at once":      {0, 60, 0, nil, true},
		"with a delay after that":                      {10, 60, 10 * time.Second, nil, true},
		"at the end of the session if that is first":   {60, 10, 10 * time.Second, nil, true},
		"after 5 minutes at last":                      {100_000, 100_000, maxWillDelay, nil, true},
		"never when the client is back before":         {10, 60, 20 * time.Second, hello(packet.V5, "a", 60), false},
		"at once when the client begins a new session": {10, 60, 0, append([]byte{0x10}, hello(packet.V5, "a", 60)[1:]...), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				stop := make(chan struct{})
				defer close(stop)
				go e.expireUntil(stop)
				p := connect(t, e, will("a", "sensors/data", reading, tt.delay, tt.session))
				_ = p.Close()
				e.serving.Wait()
				if tt.back != nil {
					if tt.published {
						tt.back[9] |= 2 // clean start
					}
					connect(t, e, tt.back)
				}
				if tt.wait > 0 {
					time.Sleep(tt.wait - time.Second)
					synctest.Wait()
					if taken(e) {
						t.Error("it is published before its time")
					}
					time.Sleep(2*time.Second + expireEvery)
				}
				synctest.Wait()
				if taken(e) != tt.published {
					t.Errorf("published: %v, want %v", taken(e), tt.published)
				}
			})
		})
	}

	t.Run("long ones have a bound for all, short ones a right", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := testEndpoint(t)
			e.budget.Sessions.Add(e.budget.Sessions.Limit() - 4000)
			for i, want := range []packet.Code{0, packet.QuotaExceeded} {
				p := e.dial(t, "192.0.2.1")
				p.send(will(fmt.Sprint("long ", i), "w", strings.Repeat("x", 4000), 0, 0))
				if _, body := p.receive(); packet.Code(body[1]) != want {
					t.Errorf("client %d is answered %x, want %x", i, body[1], want)
				}
			}
			connect(t, e, will("short", "w", "offline", 0, 0))
		})
	})

	t.Run("is none of a client that says goodbye, unless it wants that", func(t *testing.T) {
		for code, published := range map[byte]bool{0: false, 4: true} {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				p := connect(t, e, will("a", "sensors/data", reading, 0, 0))
				p.send([]byte{0xe0, 1, code})
				p.want(0)
				e.serving.Wait()
				if taken(e) != published {
					t.Errorf("after code %d: published: %v", code, taken(e))
				}
			})
		}
	})
}

func TestReplaced(t *testing.T) {
	for version, want := range map[byte]packet.Kind{packet.V31: 0, packet.V5: packet.KindDisconnect} {
		t.Run(fmt.Sprint("MQTT ", version), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				before := e.connect(t, version, "a")
				e.connect(t, version, "a")
				before.want(want)
				before.want(0)
			})
		})
	}
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
	e.cfg.Cert, e.cfg.Key = tlsfilestest.New(t).Write(t, dir, "bridge", "127.0.0.1")
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
