package api

import (
	"context"
	"net/http"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// ignoredTopic is what became no part of a reading, as clients see it.
type ignoredTopic struct {
	Topic   string  `json:"topic"`
	Member  *string `json:"member"`
	Client  *string `json:"client_id"`
	Count   int64   `json:"count"`
	Last    string  `json:"last"`
	Example string  `json:"example"`
	Hint    *string `json:"hint"`
}

func showIgnored(i event.Ignored) ignoredTopic {
	return ignoredTopic{
		Topic: i.Topic, Member: orNull(i.Member), Client: orNull(i.ClientID), Count: i.Count,
		Last: string(readingjson.AppendTime(nil, i.Last)), Example: i.Example, Hint: orNull(i.Hint),
	}
}

func showAllIgnored(all []event.Ignored) []ignoredTopic {
	shown := make([]ignoredTopic, len(all))
	for i := range all {
		shown[i] = showIgnored(all[i])
	}
	return shown
}

// orNull returns nil for "".
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (a *API) listIgnored(ctx context.Context, _ *request) (*answer, error) {
	all, err := a.Ignored.All(ctx)
	if err != nil {
		return nil, err
	}
	return encodeAny(http.StatusOK, showAllIgnored(all))
}

func (a *API) deleteIgnored(ctx context.Context, r *request) (*answer, error) {
	if err := a.Ignored.Forget(ctx); err != nil {
		return nil, err
	}
	a.record(ctx, "ignored.delete", "ignored", nil)
	a.Log.Info("what is ignored was deleted", "request_id", r.Response().Header().Get(requestIDHeader))
	return noContent, nil
}
