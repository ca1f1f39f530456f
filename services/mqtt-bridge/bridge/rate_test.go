package bridge_test

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"golang.org/x/sync/errgroup"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
)

// A device that sends 1,000 messages a second is slowed to its rate, nothing of it is lost, people are told, and 100 others are
// acknowledged as ever.
func TestRate(t *testing.T) {
	t.Parallel()
	const (
		others, hog = 100, 1000
		rate, burst = 100, 1000
		sent        = 2000 // as many beyond a burst as last while the machine stands still for some seconds
	)
	k := newKafka(t)
	limited := map[string]*event.Limit{}
	k.consume(k.cfg.TraceTopic(), func(records []kafka.Record) {
		for i := range records {
			seen, err := event.ReadSeen(records[i].Value)
			if err != nil {
				t.Error(err)
			}
			for _, c := range seen.Clients {
				if c.Limited != nil {
					limited[c.ID] = c.Limited
				}
			}
		}
	})
	cfg := withAuth(auth.On)
	cfg.Listen.DeviceRate, cfg.Listen.MaxConnections = strconv.Itoa(rate), 2*others
	b := endpoint(t, k, cfg)
	known := []iot.Credential{hasPassword(hog, strconv.Itoa(hog), hog)}
	for id := 1; id <= others; id++ {
		known = append(known, hasPassword(int64(id), strconv.Itoa(id), iot.DeviceID(id)))
	}
	k.know(known...)
	await(t, "the credentials to be known", func() bool { return answer(t, b.addr, as("1", "first")) == packets.Accepted })

	over := make(chan struct{})
	var group errgroup.Group
	took := make([][]time.Duration, others)
	for i := range others {
		name := strconv.Itoa(i + 1)
		d := connect(t, b.addr, as(name, name))
		group.Go(func() (err error) {
			took[i], err = steady(d, i+1, over)
			return err
		})
	}

	d := connect(t, b.addr, as(strconv.Itoa(hog), "hog"))
	begin := time.Now()
	group.Go(func() error {
		for i := range sent {
			if i%10 == 0 {
				time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Millisecond))) // 1,000 a second
			}
			if err := publication(1, i+1, "sensors/data", reading(hog, i)).Write(d.conn); err != nil {
				return err
			}
		}
		return nil
	})
	d.wantAcks(seq(1, sent)...)
	if elapsed, least := time.Since(begin), (sent-burst-1)*time.Second/rate; elapsed < least {
		t.Errorf("%d messages are taken within %v, want %v or more", sent, elapsed, least)
	}
	close(over)
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	k.await("that the device is slowed", func() bool { return limited["hog"] != nil })
	k.mu.Lock()
	if l := limited["hog"]; l.What != "messages" || l.Since.Before(begin.Truncate(time.Millisecond)) {
		t.Errorf("the device is slowed by %+v", l)
	}
	if len(limited) > 1 {
		t.Errorf("others are slowed, too: %v", limited)
	}
	k.mu.Unlock()
	if n := b.total("telltale_bridge_slowed_messages_total", map[string]string{"what": "messages"}); n == 0 {
		t.Error("no message is counted after which it had to wait")
	}
	all := slices.Concat(took...)
	k.await("all messages of the device", func() bool {
		n := 0
		for _, r := range k.read {
			if r.Device == hog {
				n++
			}
		}
		return n >= sent
	})
	slices.Sort(all)
	t.Logf("others' PUBACK: %d, median %v, p99 %v", len(all), all[len(all)/2], all[len(all)*99/100])
	const most = 5 * time.Second // 30 ms on a machine with nothing else to do; who waits behind the device waits for ten
	if median := all[len(all)/2]; median > most {
		t.Errorf("half of the others' acknowledgements take %v or longer", median)
	}
}

// steady has a device send four messages a second until over is closed, and returns how long the acknowledgements take.
func steady(d *device, id int, over <-chan struct{}) (took []time.Duration, err error) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	_ = d.conn.SetDeadline(time.Now().Add(2 * testTimeout))
	for n := 1; ; n++ {
		at := time.Now()
		if err := publication(1, n, "sensors/data", reading(id, n)).Write(d.conn); err != nil {
			return nil, err
		}
		p, err := packets.ReadPacket(d.r)
		if err != nil {
			return nil, err
		}
		if ack, ok := p.(*packets.PubackPacket); !ok || int(ack.MessageID) != n {
			return nil, fmt.Errorf("received %v, want the acknowledgement of %d", p, n)
		}
		took = append(took, time.Since(at))
		select {
		case <-tick.C:
		case <-over:
			return took, nil
		}
	}
}

// A bridge that stops does not wait for those who wait, nor keeps from them what is acknowledged.
func TestStopWhileSlowed(t *testing.T) {
	t.Parallel()
	k := newKafka(t)
	cfg := withAuth(auth.On)
	cfg.Listen.DeviceRate = "1"
	b := endpoint(t, k, cfg)
	k.know(hasPassword(7, "7", 7))
	await(t, "the credentials to be known", func() bool { return answer(t, b.addr, as("7", "first")) == packets.Accepted })
	d := connect(t, b.addr, as("7", "seven"))
	var all bytes.Buffer
	for i := range 200 { // for three minutes
		_ = publication(1, i+1, "sensors/data", reading(7, i)).Write(&all)
	}
	if _, err := d.conn.Write(all.Bytes()); err != nil {
		t.Fatal(err)
	}
	d.wantAcks(seq(1, 11)...) // a burst, and the one after which it waits
	stopped := make(chan struct{})
	go func() { b.stop(); close(stopped) }()
	d.ended()
	_ = d.conn.Close()
	select {
	case <-stopped:
	case <-time.After(time.Minute):
		t.Error("the bridge waits for a device that is slowed")
	}
}
