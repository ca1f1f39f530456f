package listen

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

// will is a CONNECT of MQTT 5 with a will that is due delay seconds after the end of the connection.
func will(id, topic, payload string, delay, session int) []byte {
	return whole(0x10, text("MQTT"), "\x05\x04", u16(60), "\x05\x11"+u32(session), text(id), "\x05\x18"+u32(delay), text(topic), text(payload))
}

// expireNow is a round of expireUntil.
func (e *Endpoint) expireNow() {
	stop := make(chan struct{})
	time.AfterFunc(expireEvery+expireEvery/2, func() { close(stop) })
	e.expireUntil(stop)
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
		if n := len(e.clients); n != maxDetached || e.detached.Len() != n || e.clients[sessionID{client: "unreleased 4"}] != nil || e.clients[sessionID{client: "unreleased 5"}] == nil {
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
		if e.clients[sessionID{client: "unreleased 7"}] != nil {
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
