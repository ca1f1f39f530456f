package listen

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/credentials"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/mqtt-bridge/packet"
)

// rated returns a connection of an endpoint's that somebody has made who speaks for some devices.
func rated(e *Endpoint, name string, devices int) *connection {
	its := iot.Credential{ID: 1, Name: name}
	for id := range devices {
		its.Devices = append(its.Devices, iot.DeviceID(id+1))
	}
	c := &connection{endpoint: e}
	c.principal, c.policy, c.clientID = credentials.NewPrincipal(its), auth.Required, name
	e.rates.enter(c)
	return c
}

// A rate is one's for all of its connections, and outlives them for as long as it says something.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		e.rates = newRates(200)
		one, two := rated(e, "7", 1), rated(e, "7", 1)
		if one.rate != two.rate {
			t.Error("two connections have a rate each")
		}
		if r := one.rate; r.Limit() != 200 || r.Burst() != 2000 {
			t.Errorf("a device has %v, %v at once", r.Limit(), r.Burst())
		}
		if r := rated(e, "gateway", 20).rate; r.Limit() != 4000 {
			t.Errorf("a gateway of 20 has %v", r.Limit())
		}
		if r := rated(e, "large", 1000).rate; r.Limit() != 200*maxRateDevices {
			t.Errorf("a gateway of 1000 has %v", r.Limit())
		}
		for _, c := range []*connection{one, two} {
			c.rate.AllowN(time.Now(), 1000)
			e.rates.leave(c)
		}
		over := func(*connection) {}
		time.Sleep(9 * time.Second)
		e.rates.expire(time.Now(), over)
		if again := rated(e, "7", 1); again.rate != one.rate {
			t.Error("who connects anew has a burst anew")
		} else {
			e.rates.leave(again)
		}
		time.Sleep(time.Second)
		e.rates.expire(time.Now(), over)
		if e.rates.of["7"] != nil {
			t.Error("a rate that says nothing is kept")
		}
	})
}

// Who showed no credentials that count, looks on, or is only warned, has no rate, and nobody has where it is off.
func TestNoRate(t *testing.T) {
	e := testEndpoint(t)
	e.rates = newRates(200)
	device := credentials.NewPrincipal(iot.Credential{Name: "7", Devices: []iot.DeviceID{7}})
	for name, p := range map[string]party{
		"an open listener":     {policy: auth.Open},
		"an anonymous network": {policy: auth.Required, anonymous: true},
		"a warning":            {policy: auth.Warning, principal: device},
		"a viewer":             {policy: auth.Required, principal: credentials.NewPrincipal(iot.Credential{Name: "v", Viewer: true})},
	} {
		c := &connection{endpoint: e, party: p}
		if e.rates.enter(c); c.rate != nil {
			t.Errorf("%s has a rate", name)
		}
	}
	e.rates = newRates(0)
	if rated(e, "7", 1).rate != nil {
		t.Error("there is a rate where it is off")
	}
}

func TestDeviceRate(t *testing.T) {
	for text, want := range map[string]int{"": 0, "off": 0, "1": 1, "200": 200, "0": -1, "-1": -1, "x": -1, "4294967296": -1} {
		n, err := Config{DeviceRate: text}.deviceRate()
		if err != nil {
			n = -1
		}
		if n != want {
			t.Errorf("MQTT_DEVICE_RATE=%s: %d, %v; want %d", text, n, err, want)
		}
	}
}

// Who had to wait counts as slowed for a while.
func TestSlowedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		e.rates = newRates(200)
		c := rated(e, "7", 1)
		if !e.rates.slow(c, time.Now()) || e.rates.slow(c, time.Now()) {
			t.Error("it does not begin once")
		}
		ends := 0
		over := func(*connection) { ends++ }
		time.Sleep(slowedFor - 1)
		if e.rates.expire(time.Now(), over); ends != 0 {
			t.Error("it is over too soon")
		}
		time.Sleep(time.Nanosecond)
		e.rates.expire(time.Now(), over)
		e.rates.expire(time.Now(), over)
		if ends != 1 {
			t.Errorf("it is over %d times", ends)
		}
	})
}

// What is longer counts for more, and what is longer than a burst waits no longer than that takes.
func TestLongMessages(t *testing.T) {
	for length, want := range map[int]float64{100: 1999, messageBytes - 1: 1999, messageBytes: 1998, 1 << 20: 1790, 200 << 20: 0} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := testEndpoint(t)
				e.rates = newRates(200)
				c := rated(e, "7", 1)
				c.pause(packet.Header{Kind: packet.KindPublish, Length: length})
				if left := c.rate.Tokens(); left != want {
					t.Errorf("%v messages are left, want %v", left, want)
				}
			})
		})
	}
}

func BenchmarkPause(b *testing.B) {
	e := testEndpoint(b)
	e.rates = newRates(200)
	c := rated(e, "7", 1)
	c.rate.SetLimit(1e9)
	c.rate.SetBurst(1e9)
	for b.Loop() {
		c.pause(packet.Header{Kind: packet.KindPublish, Length: 100})
	}
}

// Who is over his rate waits until he is not.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testEndpoint(t)
		e.rates = newRates(200)
		p := e.dial(t, "192.0.2.1")
		var c *connection
		e.mu.Lock()
		for c = range e.conns {
		}
		e.mu.Unlock()
		c.principal, c.policy = credentials.NewPrincipal(iot.Credential{Name: "7", Devices: []iot.DeviceID{7}}), auth.Required
		e.rates.enter(c)
		begin := time.Now()
		for range 2000 + 200 {
			c.pause(packet.Header{Kind: packet.KindPublish, Length: 100})
		}
		if took := time.Since(begin); took.Round(time.Millisecond) != time.Second {
			t.Errorf("200 messages beyond a burst take %v", took)
		}
		_ = p.Close()
	})
}
