package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

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
func (a *API) replayDeadLetter(c echo.Context) error {
	id, err := letterPathID(c)
	if err != nil {
		return err
	}
	f, err := readForm(c)
	if err != nil {
		return err
	}
	corrected := f.payload("payload")
	if f.errs != nil {
		return f.errs
	}
	ctx := c.Request().Context()
	d, err := a.DeadLetters.DeadLetter(ctx, id)
	if err != nil {
		return err
	}
	if corrected != nil {
		d.Bytes, d.ContentType = corrected, ""
	}
	outcomes, err := a.Replayer.Replay(ctx, []iot.DeadLetter{d})
	if err != nil {
		return err
	}
	return a.writeJSON(c, http.StatusOK, showReplay(outcomes[0]))
}

// replays is the answer of replayDeadLetters.
type replays struct {
	Results   []replayed `json:"results"`
	Remaining int64      `json:"remaining"`
}

// replayDeadLetters replays the newest that the query selects and that were not replayed yet.
func (a *API) replayDeadLetters(c echo.Context) error {
	p := readParams(c)
	q := p.deadLetterQuery()
	q.Replayed = new(bool)
	q.Limit, q.After = int(p.integer("limit", maxReplays, defaultReplays)), p.letterCursor()
	p.refuseOthers()
	if err := p.err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	page, err := a.DeadLetters.FindDeadLetters(ctx, q)
	if err != nil {
		return err
	}
	outcomes, err := a.Replayer.Replay(ctx, page.Letters)
	if err != nil {
		return err
	}
	answer := replays{Results: make([]replayed, len(outcomes))}
	for i, o := range outcomes {
		answer.Results[i] = showReplay(o)
	}
	if q.After = page.Next; !page.Next.IsZero() {
		counts, err := a.DeadLetters.CountDeadLetters(ctx, q)
		if err != nil {
			return err
		}
		for _, n := range counts {
			answer.Remaining += n.Count
		}
		p.linkNext(c, page.Next.String())
	}
	return a.writeJSON(c, http.StatusOK, answer)
}
