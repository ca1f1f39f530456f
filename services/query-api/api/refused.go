package api

import (
	"context"
	"net/http"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// refusal is somebody who was refused, or would have been, as clients see it.
type refusal struct {
	Surface   string  `json:"surface"`
	Why       string  `json:"why"`
	Principal *string `json:"principal"`
	Client    *string `json:"client_id"`
	Device    *string `json:"device"`
	Address   string  `json:"address"`
	Count     int64   `json:"count"`
	First     string  `json:"first"`
	Last      string  `json:"last"`
	Example   *string `json:"example"`
}

func showRefusals(all []event.Refusal) []refusal {
	shown := make([]refusal, len(all))
	for i, r := range all {
		shown[i] = refusal{
			Surface: r.Surface, Why: r.Why, Principal: orNull(r.Principal), Client: orNull(r.ClientID), Device: orNull(r.Device),
			Address: r.Address, Count: r.Count, Example: orNull(r.Example),
			First: string(readingjson.AppendTime(nil, r.First)), Last: string(readingjson.AppendTime(nil, r.Last)),
		}
	}
	return shown
}

// listRefused answers with who was refused, or with who would have been.
func (a *API) listRefused(denied bool) handler {
	return func(ctx context.Context, _ *request) (*answer, error) {
		all, err := a.Refused.All(ctx, denied)
		if err != nil {
			return nil, err
		}
		return encodeAny(http.StatusOK, showRefusals(all))
	}
}

// forgetRefused forgets what listRefused answers with.
func (a *API) forgetRefused(denied bool) handler {
	return func(ctx context.Context, _ *request) (*answer, error) {
		if err := a.Refused.Forget(ctx, denied); err != nil {
			return nil, err
		}
		object := "refused"
		if !denied {
			object = "would-deny"
		}
		a.record(ctx, "refusals.delete", object, nil)
		return noContent, nil
	}
}
