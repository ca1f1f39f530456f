package api

import (
	"encoding/base64"
	"net/http"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	defaultLetters = 100 // in a list, where the client sets no limit
	msgNoFilter    = "Name what to delete by reason, device_id, since, until or replayed."
)

// deadLetter is a dead letter as clients see it.
type deadLetter struct {
	ID               string        `json:"id"`
	Reason           iot.Reason    `json:"reason"`
	Detail           string        `json:"detail"`
	Device           *iot.DeviceID `json:"device_id"`
	Source           string        `json:"source"`
	Received         string        `json:"received_at"`
	Retained         bool          `json:"retained"`
	ContentType      *string       `json:"content_type"`
	Payload          string        `json:"payload"`
	Encoding         string        `json:"encoding"`
	ReplayedAt       *string       `json:"replayed_at"`
	ReplayedReadings int           `json:"replayed_readings"`
}

func showDeadLetter(d iot.DeadLetter) deadLetter {
	shown := deadLetter{
		ID: d.ID.String(), Reason: d.Reason, Detail: d.Detail, Source: d.Source,
		Received: string(readingjson.AppendTime(nil, d.Received)), Retained: d.Retained,
		Payload: string(d.Bytes), Encoding: "text", ReplayedReadings: d.Replay.Readings,
	}
	if !utf8.Valid(d.Bytes) {
		shown.Payload, shown.Encoding = base64.StdEncoding.EncodeToString(d.Bytes), "base64"
	}
	if d.Device != 0 {
		shown.Device = &d.Device
	}
	if d.ContentType != "" {
		shown.ContentType = &d.ContentType
	}
	if !d.Replay.At.IsZero() {
		at := string(readingjson.AppendTime(nil, d.Replay.At))
		shown.ReplayedAt = &at
	}
	return shown
}

// deadLetterQuery reads the parameters that select dead letters.
func (p *params) deadLetterQuery() iot.DeadLetterQuery {
	return iot.DeadLetterQuery{
		Reason:   iot.Reason(p.get("reason")),
		Device:   iot.DeviceID(p.integer("device_id", int64(iot.MaxDeviceID), 0)),
		From:     p.time("since"),
		To:       p.time("until"),
		Replayed: p.boolean("replayed"),
	}
}

func (a *API) listDeadLetters(c echo.Context) error {
	p := readParams(c)
	q := p.deadLetterQuery()
	q.Limit, q.After = p.limit(defaultLetters), p.letterCursor()
	if err := p.err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	page, err := a.DeadLetters.FindDeadLetters(ctx, q)
	if err != nil {
		return err
	}
	if !page.Next.IsZero() {
		p.linkNext(c, page.Next.String())
	}
	shown := make([]deadLetter, len(page.Letters))
	for i, d := range page.Letters {
		shown[i] = showDeadLetter(d)
	}
	return writeJSON(c, http.StatusOK, shown)
}

func (a *API) getDeadLetter(c echo.Context) error {
	id, err := letterPathID(c)
	if err != nil {
		return err
	}
	d, err := a.DeadLetters.DeadLetter(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, showDeadLetter(d))
}

// deadLetterStats is the answer of getDeadLetterStats.
type deadLetterStats struct {
	Total    int64         `json:"total"`
	Replayed int64         `json:"replayed"`
	Reasons  []reasonCount `json:"by_reason"`
}

type reasonCount struct {
	Reason   iot.Reason `json:"reason"`
	Count    int64      `json:"count"`
	Replayed int64      `json:"replayed"`
}

func (a *API) getDeadLetterStats(c echo.Context) error {
	p := readParams(c)
	q := p.deadLetterQuery()
	if err := p.err(); err != nil {
		return err
	}
	counts, err := a.DeadLetters.CountDeadLetters(c.Request().Context(), q)
	if err != nil {
		return err
	}
	s := deadLetterStats{Reasons: make([]reasonCount, len(counts))}
	for i, n := range counts {
		s.Reasons[i] = reasonCount(n)
		s.Total += n.Count
		s.Replayed += n.Replayed
	}
	return writeJSON(c, http.StatusOK, s)
}

func (a *API) deleteDeadLetter(c echo.Context) error {
	id, err := letterPathID(c)
	if err != nil {
		return err
	}
	if err := a.DeadLetters.DeleteDeadLetter(c.Request().Context(), id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// deleteDeadLetters wants a filter, and no other parameters: nobody deletes more than was meant by a name that
// was mistyped.
func (a *API) deleteDeadLetters(c echo.Context) error {
	p := readParams(c)
	q := p.deadLetterQuery()
	p.refuseOthers()
	if q == (iot.DeadLetterQuery{}) && p.errs == nil {
		p.fail(errNoField, msgNoFilter)
	}
	if err := p.err(); err != nil {
		return err
	}
	deleted, err := a.DeadLetters.DeleteDeadLetters(c.Request().Context(), q)
	if err != nil {
		return err
	}
	a.Log.Info("dead letters deleted", "count", deleted, "request_id", c.Response().Header().Get(requestIDHeader))
	return writeJSON(c, http.StatusOK, struct {
		Deleted int `json:"deleted"`
	}{deleted})
}

// fixedPaths are the methods of the paths where an id could stand. Echo gives the other methods, where one
// dead letter has them, to that.
var fixedPaths = map[string]string{"stats": "OPTIONS, GET, HEAD", "replay": "OPTIONS, POST"}

// letterPathID reads the id in the path. What is no id names nothing, so it is not found.
func letterPathID(c echo.Context) (iot.LetterID, error) {
	if allow, ok := fixedPaths[c.Param("id")]; ok {
		c.Response().Header().Set(echo.HeaderAllow, allow)
		return iot.LetterID{}, echo.ErrMethodNotAllowed
	}
	id, err := iot.ParseLetterID(c.Param("id"))
	if err != nil {
		return id, errNotFound
	}
	return id, nil
}
