package api

import (
	"context"
	"net/http"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/replay"
)

// Dead letters that one request replays.
const (
	defaultReplays = 100
	maxReplays     = 1000
)

// replayed is what became of a dead letter's replay, as clients see it.
type replayed struct {
	ID       string        `json:"id"`
	Outcome  replay.Result `json:"outcome"`
	Readings int           `json:"readings"`
	Reason   *iot.Reason   `json:"reason"`
	Detail   *string       `json:"detail"`
}

func showReplay(o replay.Outcome) replayed {
	shown := replayed{ID: o.ID.String(), Outcome: o.Result, Readings: o.Readings}
	if o.Result == replay.Rejected {
		shown.Reason, shown.Detail = &o.Rejection.Reason, &o.Rejection.Detail
	}
	return shown
}

// replayDeadLetter replays one, with the payload in the body where there is one.
func (a *API) replayDeadLetter(ctx context.Context, r *request) (*answer, error) {
	id, err := r.deadLetterID()
	if err != nil {
		return nil, err
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	corrected := f.message()
	if f.errs != nil {
		return nil, f.errs
	}
	release, err := take(ctx, a.limits.replays, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	d, err := r.DeadLetters.DeadLetter(ctx, id)
	if err != nil {
		return nil, err
	}
	if corrected != nil {
		d = event.Correct(d, corrected)
	}
	outcomes, err := a.replay(ctx, r, []iot.DeadLetter{d})
	if err != nil {
		return nil, err
	}
	shown := showReplay(outcomes[0])
	a.record(ctx, "dead_letter.replay", "dead_letter/"+id.String(), shown)
	return encodeAny(http.StatusOK, shown)
}

// replays is the answer of replayDeadLetters.
type replays struct {
	Results   []replayed `json:"results"`
	Remaining int64      `json:"remaining"`
}

// replayDeadLetters replays the newest that the query selects and that were not replayed yet.
func (a *API) replayDeadLetters(ctx context.Context, r *request) (*answer, error) {
	q := r.query.deadLetterQuery()
	q.Replayed = new(bool)
	q.Limit, q.After = int(r.query.integer("limit", maxReplays, defaultReplays)), r.query.deadLetterCursor()
	r.query.refuseOthers()
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := take(ctx, a.limits.replays, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	page, err := r.DeadLetters.FindDeadLetters(ctx, q)
	if err != nil {
		return nil, err
	}
	meant, outcomes := page.DeadLetters, []replay.Outcome(nil)
	if q.Reason != iot.ReasonDeviceNotAllowed {
		meant, outcomes = splitNotAllowed(page.DeadLetters)
	}
	done, err := a.replay(ctx, r, meant)
	if err != nil {
		return nil, err
	}
	outcomes = append(outcomes, done...)
	answer := replays{Results: make([]replayed, len(outcomes))}
	for i, o := range outcomes {
		answer.Results[i] = showReplay(o)
	}
	a.record(ctx, "dead_letter.replay", "dead_letters", bulkChange{r.Request().URL.RawQuery, len(outcomes)})
	if q.After = page.Next; !page.Next.IsZero() {
		counts, err := r.DeadLetters.CountDeadLetters(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, n := range counts {
			answer.Remaining += n.Count
		}
		r.linkNext(page.Next.String())
	}
	return encodeAny(http.StatusOK, answer)
}

// splitNotAllowed takes out what somebody sent for devices of others: who replays all does not mean that. It is replayed one by
// one, or where its reason is named.
func splitNotAllowed(all []iot.DeadLetter) (others []iot.DeadLetter, outcomes []replay.Outcome) {
	for _, d := range all {
		if d.Reason == iot.ReasonDeviceNotAllowed {
			outcomes = append(outcomes, replay.Outcome{ID: d.ID, Result: replay.Rejected, Rejection: d.Rejection})
		} else {
			others = append(others, d)
		}
	}
	return others, outcomes
}

// replay replays dead letters, in none of which there may be readings of devices that who asks does not see.
func (a *API) replay(ctx context.Context, r *request, deadLetters []iot.DeadLetter) ([]replay.Outcome, error) {
	may, err := a.mayName(ctx, r)
	if err != nil {
		return nil, err
	}
	return a.Replayer.For(may).Replay(ctx, deadLetters)
}
