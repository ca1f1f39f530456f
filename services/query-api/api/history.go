package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/query-api/series"
)

// history reads stored readings for requests that may take long. That is for those that ask for much: a store that says
// nothing is away as soon as it is for any other request.
type history struct{ store iot.HistoryReader }

func (h history) ReadSamples(ctx context.Context, q iot.SampleQuery, take func(iot.Samples) error) error {
	return watch(ctx, take, func(ctx context.Context, take func(iot.Samples) error) error {
		return h.store.ReadSamples(ctx, q, take)
	})
}

func (h history) ReadBuckets(ctx context.Context, q iot.BucketQuery, take func(iot.Buckets) error) error {
	return watch(ctx, take, func(ctx context.Context, take func(iot.Buckets) error) error {
		return h.store.ReadBuckets(ctx, q, take)
	})
}

func (h history) Horizon(ctx context.Context) (time.Time, error) { return h.store.Horizon(ctx) }

var errHangs = errors.New("the store says nothing")

// watch has read call take, and ends it when that does not happen for timeouts.StoreRequest.
func watch[T any](ctx context.Context, take func(T) error, read func(context.Context, func(T) error) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hangs := time.AfterFunc(timeouts.StoreRequest, func() { cancel(errHangs) })
	defer hangs.Stop()
	err := read(ctx, func(chunk T) error {
		hangs.Stop()
		defer hangs.Reset(timeouts.StoreRequest)
		return take(chunk)
	})
	if err != nil && errors.Is(context.Cause(ctx), errHangs) {
		return fmt.Errorf("%w: %w", errHangs, err)
	}
	return err
}

var errTakesTooLong = &problem{http.StatusServiceUnavailable, fmt.Sprintf("It takes longer than %v. Ask for less, or try again later.", timeouts.HistoryRequest), 5}

// historyProblem says what is wrong with a request for which stored readings were read, or with the store.
func historyProblem(ctx context.Context, err error) error {
	var refusal *series.Refusal
	switch {
	case errors.As(err, &refusal):
		return fieldErrors{refusal.Parameter: {refusal.Message}}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errTakesTooLong
	default:
		return err
	}
}
