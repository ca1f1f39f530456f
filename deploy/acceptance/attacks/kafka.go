package main

import (
	"context"
	"time"
)

// kafkaIdle opens 5,000 connections to Kafka that say nothing.
func kafkaIdle(ctx context.Context, a *attacker) error {
	crowd(ctx, 5000, 32, func(i int) { _, _ = a.dial(ctx, 2+i%10, a.kafka) })
	wait(ctx, time.Second)
	return nil
}
