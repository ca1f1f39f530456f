package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// blind has subscribers to # that do not read, while others publish much.
func blind(filter string) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		crowd(ctx, 50, 10, func(i int) {
			if p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("blind-%d", i)}); err == nil {
				_, _ = p.ask(subscribe(1, filter))
			}
		})
		ctx, cancel := context.WithTimeout(ctx, attackTime)
		defer cancel()
		crowd(ctx, 4, 4, func(i int) {
			p, err := a.connect(ctx, 100+i, hello{id: fmt.Sprintf("loud-%d", i)})
			if err != nil {
				return
			}
			defer context.AfterFunc(ctx, func() { _ = p.SetWriteDeadline(time.Now()) })()
			go p.drain()
			p.flood(ctx, publish(unread, byte(i%2), i, nil, strings.Repeat("x", mega/10)))
		})
		return nil
	}
}

// abandoned has 30,000 clients connect for a session that is kept, and leave.
func abandoned(ctx context.Context, a *attacker) error {
	crowd(ctx, 30_000, 32, func(i int) {
		p, err := a.connect(ctx, 2+i%100, hello{id: fmt.Sprintf("abandoned-%d", i), keep: true})
		if err != nil {
			return
		}
		_, _ = p.Write(disconnect)
		_ = p.Close()
	})
	return nil
}

// filters has 1,000 clients subscribe to what takes much memory, and leave for a second or for ever.
func filters(ctx context.Context, a *attacker) error {
	crowd(ctx, 1000, 16, func(i int) {
		h := hello{id: fmt.Sprintf("filters-%d", i), version: v5, keep: true, properties: sessionExpiry(uint32(1 + i%2*3600))}
		p, err := a.connect(ctx, 2+i%10, h)
		if err != nil {
			return
		}
		parts := [][]byte{u16(1), properties()}
		for j := range 20 {
			parts = append(parts, text(fmt.Sprintf("%d/%d/%s", i, j, strings.Repeat("x/", 13)+strings.Repeat("y", 440))), []byte{0})
		}
		_, _ = p.ask(packet(subscribeByte, parts...))
		_, _ = p.Write(disconnect)
		_ = p.Close()
	})
	wait(ctx, 2*time.Second)
	return nil
}

// wills leaves 5,000 of them behind, which are due in a long time.
func wills(size int) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		w := &will{topic: unread, payload: strings.Repeat("x", size), properties: willDelay(1 << 30)}
		crowd(ctx, 5000, 32, func(i int) {
			h := hello{id: fmt.Sprintf("will-%d", i), version: v5, keep: true, properties: sessionExpiry(1 << 30), will: w}
			if p, err := a.connect(ctx, 2+i%50, h); err == nil {
				_ = p.Close() // without DISCONNECT
			}
		})
		return nil
	}
}

// pinned keeps 1,000 connections, each with as much in its CONNECT as is taken.
func pinned(ctx context.Context, a *attacker) error {
	crowd(ctx, 1000, 32, func(i int) {
		_, _ = a.connect(ctx, 2+i%10, hello{id: fmt.Sprintf("pinned-%d", i), version: v5, properties: userProperties(15_000)})
	})
	wait(ctx, time.Second)
	return nil
}

// takeovers has clients throw each other out all the time.
func takeovers(ctx context.Context, a *attacker) error {
	crowd(ctx, 5000, 32, func(i int) {
		p, err := a.connect(ctx, 2+i%100, hello{id: fmt.Sprintf("takeover-%d", i%4), version: byte(4 + i%2), keep: i%3 == 0})
		if err == nil && i%2 == 0 {
			_ = p.Close()
		}
	})
	return nil
}

// fanned has as many filters as there can be match each of many messages.
func fanned(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	crowd(ctx, 100, 10, func(i int) {
		p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("fan-%d", i)})
		if err != nil {
			return
		}
		var filters []string
		for j := range 20 {
			filters = append(filters, strings.Repeat("+/", j%14)+"#", strings.Repeat("+/", 14)+fmt.Sprint(j))
		}
		_, _ = p.ask(subscribe(1, filters...))
		go p.drain()
	})
	crowd(ctx, 4, 4, func(i int) {
		p, err := a.connect(ctx, 200+i, hello{id: fmt.Sprintf("fan-in-%d", i)})
		if err != nil {
			return
		}
		defer context.AfterFunc(ctx, func() { _ = p.SetWriteDeadline(time.Now()) })()
		go p.drain()
		p.flood(ctx, publish(strings.Repeat("a/", 14)+"b", 0, 0, nil, ""))
	})
	return nil
}

// aliases has 2,000 clients abbreviate as many long topics as they may, and retain each.
func aliases(ctx context.Context, a *attacker) error {
	crowd(ctx, 2000, 32, func(i int) {
		p, err := a.connect(ctx, 2+i%20, hello{id: fmt.Sprintf("alias-%d", i), version: v5})
		if err != nil {
			return
		}
		var b []byte
		for n := 1; n <= 16; n++ {
			retained := publish(fmt.Sprintf("%d/%d/%s", i, n, strings.Repeat("x", 480)), 0, 0, properties(topicAlias(n)), "x")
			retained[0] |= 1
			b = append(b, retained...)
		}
		_, _ = p.Write(b)
	})
	wait(ctx, time.Second)
	return nil
}

// levelled subscribes to a filter of 65,534 levels, some times.
func levelled(ctx context.Context, a *attacker) error {
	crowd(ctx, 20, 5, func(i int) {
		p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("levelled-%d", i)})
		if err != nil {
			return
		}
		_, _ = p.Write(subscribe(1, levels(65_535-16)))
		_, _ = p.Write(publish(levels(30_000), 0, 0, nil, "x"))
	})
	wait(ctx, 2*time.Second)
	return nil
}

// unsubscribes sends one UNSUBSCRIBE or SUBSCRIBE after the other.
func unsubscribes(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, attackTime)
	defer cancel()
	crowd(ctx, 8, 8, func(i int) {
		p, err := a.connect(ctx, 2+i, hello{id: fmt.Sprintf("unsubscribe-%d", i)})
		if err != nil {
			return
		}
		defer context.AfterFunc(ctx, func() { _ = p.SetWriteDeadline(time.Now()) })()
		go p.drain()
		for n := 0; ctx.Err() == nil; n++ {
			var b []byte
			for j := range 100 {
				filter := fmt.Sprintf("$share/%d/+/%d/%d/#", n, i, j)
				b = append(b, subscribe(1+j, filter, filter[7:])...)
				b = append(b, packet(unsubscribeByte, u16(1+j), text(filter), text("a/b"))...)
			}
			if _, err := p.Write(b); err != nil {
				return
			}
		}
	})
	return nil
}

// subscribes is a probe: others may subscribe meanwhile.
func subscribes(ctx context.Context, a *attacker) error {
	p, err := a.connect(ctx, 0x1101, hello{id: "probe"})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	answer, err := p.ask(subscribe(1, "sensors/+/data"))
	for err == nil && answer.first != subackByte { // a reading may come first
		answer, err = p.ask(nil)
	}
	return err
}
