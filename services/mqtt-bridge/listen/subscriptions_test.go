package listen

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

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
		before := e.clients[sessionID{client: "a"}].conn
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
		if n := e.budget.Subscribers.Used(); n != 0 || e.clients[sessionID{client: "blind"}] != nil && e.clients[sessionID{client: "blind"}].conn != nil {
			t.Errorf("%d bytes wait for a subscriber that reads nothing", n)
		}
	})
}

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
