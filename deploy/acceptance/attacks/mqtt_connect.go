package main

import (
	"context"
	"strings"
	"time"
)

// slow sends bytes one at a time, from the host of the fleet, on as many connections as it can get.
func slow(ctx context.Context, a *attacker) error {
	ctx, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	b := hello{id: strings.Repeat("x", 200)}.bytes()
	crowd(ctx, 600, 600, func(int) {
		p, err := a.dial(ctx, 1, a.mqtt)
		if err != nil {
			return
		}
		for _, c := range b {
			if _, err := p.Write([]byte{c}); err != nil || ctx.Err() != nil {
				return
			}
			wait(ctx, 100*time.Millisecond)
		}
	})
	return nil
}

// idle opens connections that say nothing, from some hosts beginning with one.
func idle(n, from, hosts int) func(context.Context, *attacker) error {
	return func(ctx context.Context, a *attacker) error {
		crowd(ctx, n, 32, func(i int) { _, _ = a.dial(ctx, from+i%hosts, a.mqtt) })
		wait(ctx, 2*time.Second)
		return nil
	}
}

// connects is a probe: a device from elsewhere gets in meanwhile.
func connects(ctx context.Context, a *attacker) error {
	p, err := a.connect(ctx, 0x1101, hello{id: "probe"})
	if err != nil {
		return err
	}
	return p.Close()
}
