package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/telltale-iot/telltale/pkg/payload"
)

// Part is a part of a file, which may be of any size: its readings, and what is rejected in it.
type Part struct {
	Source, Client string // as of a Message
	Received       time.Time
	Decoded        payload.Result // not changed any more, also when IngestPart has returned
	Bytes          int            // that it had in the file
}

// IngestPart returns when all of p is in Kafka, as readings or as dead letters. It waits for a Kafka that is away, until
// ctx ends. After an error any part may be there, now or later.
func (g *Ingester) IngestPart(ctx context.Context, p Part) (Result, error) {
	n := len(p.Decoded.Readings) + len(p.Decoded.Rejected)
	size := int64(min(3*p.Bytes+(recordCost+resultCost)*n, maxInFlight))
	if g.inFlight.Acquire(ctx, size) != nil {
		return Result{}, fmt.Errorf("wait until kafka has earlier readings: %w", ctx.Err())
	}
	d := &delivery{Ingester: g, Message: Message{Source: p.Source, Client: p.Client}, received: p.Received, retained: true, cost: size}
	d.pending.Store(1)
	defer d.resolve()
	var result Result
	if err := d.send(ctx, p.Decoded, &result); err != nil {
		return Result{}, fmt.Errorf("send readings: %w", err)
	}
	result.sort()
	return result, nil
}
