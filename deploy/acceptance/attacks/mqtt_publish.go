package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"
)

const (
	unread = "attack/unread" // a topic that nobody reads
	mega   = 1 << 20         // bytes of the largest payload that is taken
)

// unreleased publishes at QoS 2 what it never releases: all packet ids, several times.
func unreleased(topic string, hosts int) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		payload := `{"temperature": 1, "note": "` + strings.Repeat("x", 50) + `"}`
		crowd(ctx, hosts, hosts, func(i int) {
			p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("unreleased-%d", i), version: v5, keep: true, properties: sessionExpiry(3600)})
			if err != nil {
				return
			}
			go p.drain()
			for id := 1; id <= 65535 && ctx.Err() == nil; id++ {
				if _, err := p.Write(publish(topic, 2, id, properties(), payload)); err != nil {
					return
				}
			}
		})
		return nil
	}
}

// queued has 600 MiB that nobody reads wait for their turn behind a reading that Kafka is slow to take.
func queued(ctx context.Context, a *attacker) error {
	p, err := a.connect(ctx, 2, hello{id: "queued"})
	if err != nil {
		return err
	}
	go p.drain()
	behind := a.site.behind.Process
	if err := behind.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	resume := time.AfterFunc(stall, func() { _ = behind.Signal(syscall.SIGCONT) })
	defer func() { // also when the connection broke
		if resume.Stop() {
			_ = behind.Signal(syscall.SIGCONT)
		}
	}()
	if _, err := p.Write(publish("sensors/1/data", 1, 1, nil, `{"temperature": 1}`)); err != nil {
		return err
	}
	payload := strings.Repeat("x", mega)
	for id := 2; id <= 601 && ctx.Err() == nil; id++ {
		if _, err := p.Write(publish(unread, 1, id, nil, payload)); err != nil {
			return nil // it may be cut off
		}
	}
	return nil
}

// stall is how long queued keeps Kafka from answering.
const stall = 2 * time.Second

// halfConnects sends 1,000 CONNECTs but for the last byte.
func halfConnects(size int) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		b := hello{id: "half", version: v5, properties: userProperties(size)}.bytes()
		crowd(ctx, 1000, 32, func(i int) {
			if p, err := a.dial(ctx, 2+i%10, a.mqtt); err == nil {
				_, _ = p.Write(b[:len(b)-1])
			}
		})
		wait(ctx, time.Second)
		return nil
	}
}

// userProperties are some that take about so many bytes.
func userProperties(size int) (b []byte) {
	one := userProperty("key", strings.Repeat("v", 1000))
	for len(b)+len(one) <= size {
		b = append(b, one...)
	}
	return b
}

// halfPublishes connects some clients, each of which sends a PUBLISH of 1 MiB but for the last byte.
func halfPublishes(topic string, clients, hosts int) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		b := publish(topic, 1, 1, nil, strings.Repeat("x", mega))
		crowd(ctx, clients, 32, func(i int) {
			if p, err := a.connect(ctx, 2+i%hosts, hello{id: fmt.Sprintf("half-%d", i)}); err == nil {
				_ = p.SetWriteDeadline(time.Now().Add(2 * time.Second))
				_, _ = p.Write(b[:len(b)-1])
			}
		})
		wait(ctx, time.Second)
		return nil
	}
}

// publishes is a probe: a device from elsewhere publishes a batch of 20 KB.
func publishes(ctx context.Context, a *attacker) error {
	p, err := a.connect(ctx, 0x1101, hello{id: "probe"})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	_, err = p.ask(publish("sensors/2/data", 1, 1, nil, batch(`{"temperature": 1, "humidity": 1}`, 600)))
	return err
}

// unreadAcks publishes at QoS 1 and 2, pings and releases, and never reads an answer.
func unreadAcks(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	var pings, releases, acks []byte
	for range 1000 {
		pings = append(pings, pingreq...)
		releases = append(releases, pubrel(7)...)
		acks = append(acks, publish(unread, 1, 9, nil, "")...)
	}
	crowd(ctx, 30, 30, func(i int) {
		p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("unread-%d", i)})
		if err != nil {
			return
		}
		defer context.AfterFunc(ctx, func() { _ = p.SetWriteDeadline(time.Now()) })()
		p.flood(ctx, [][]byte{pings, releases, acks}[i%3])
	})
	return nil
}

// junk publishes what no reading can be made of: as fast as it goes, and in batches of which every element becomes
// a dead letter.
func junk(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	crowd(ctx, 8, 8, func(i int) {
		p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("junk-%d", i)})
		if err != nil {
			return
		}
		defer context.AfterFunc(ctx, func() { _ = p.SetWriteDeadline(time.Now()) })()
		go p.drain()
		switch {
		case i < 4:
			p.flood(ctx, publish("sensors/1/data", 1, 1+i, nil, strings.Repeat("x", mega-100)))
		default:
			_, _ = p.Write(publish("sensors/1/data", 1, 1, nil, onesBatch))
			wait(ctx, 2*time.Second)
		}
	})
	return nil
}

// flooded publishes 64,000 readings at once: more than may wait, and no more than the stores take within seconds.
func flooded(qos byte) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		crowd(ctx, 8, 8, func(i int) {
			p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("flood-%d", i)})
			if err != nil {
				return
			}
			go p.drain()
			var b []byte
			for id := 1; id <= 8000; id++ {
				b = append(b, publish(fmt.Sprintf("sensors/%d/data", 1+i), qos, id, nil, `{"temperature": 1}`)...)
			}
			_, _ = p.Write(b)
		})
		wait(ctx, 2*time.Second)
		return nil
	}
}

// amplified publishes batches of 1 MB that become much more when they are decoded, all at once.
func amplified(ctx context.Context, a *attacker) error {
	bodies := []string{onesBatch, metricsBatch, readingBatch, batch("{}", elements), batch(`{"device_id":1,"a":""}`, elements)}
	crowd(ctx, 20, 20, func(i int) {
		p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("amplified-%d", i)})
		if err != nil {
			return
		}
		_, _ = p.ask(publish("sensors/data", 1, 1, nil, bodies[i%len(bodies)]))
	})
	return nil
}

// devices publishes for 150,000 devices that nobody has.
func devices(ctx context.Context, a *attacker) error {
	crowd(ctx, 15, 4, func(i int) {
		p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("devices-%d", i)})
		if err != nil {
			return
		}
		defer func() { _ = p.Close() }()
		var b strings.Builder
		for n := range elements {
			fmt.Fprintf(&b, `,{"device_id":%d,"temperature":1}`, 10_000_000+i*elements+n)
		}
		_, _ = p.ask(publish("sensors/data", 1, 1, nil, "["+b.String()[1:]+"]"))
	})
	return nil
}
