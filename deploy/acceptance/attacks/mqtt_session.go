package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

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
