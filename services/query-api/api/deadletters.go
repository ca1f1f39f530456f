package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	defaultLetters = 100 // in a list, where the client sets no limit
	msgNoFilter    = "Name what to delete by reason, device_id, since, until or replayed."
)

// appendDeadLetter appends d as clients see it.
func appendDeadLetter(dst []byte, d iot.DeadLetter) []byte {
	member := func(name, value string) {
		dst = append(dst, name...)
		dst = readingjson.AppendString(dst, strings.ToValidUTF8(value, "\uFFFD"))
	}
	dst = append(dst, `{"id":"`...)
	dst = hex.AppendEncode(dst, d.ID[:])
	member(`","reason":`, string(d.Reason))
	member(`,"detail":`, d.Detail)
	dst = append(dst, `,"device_id":`...)
	if d.Device == 0 {
		dst = append(dst, "null"...)
	} else {
		dst = strconv.AppendInt(dst, int64(d.Device), 10)
	}
	member(`,"source":`, d.Source)
	dst = append(dst, `,"received_at":`...)
	dst = appendTime(dst, d.Received)
	dst = append(dst, `,"retained":`...)
	dst = strconv.AppendBool(dst, d.Retained)
	if d.ContentType == "" {
		dst = append(dst, `,"content_type":null`...)
	} else {
		member(`,"content_type":`, d.ContentType)
	}
	dst = append(dst, `,"payload":`...)
	if utf8.Valid(d.Bytes) {
		dst = readingjson.AppendString(dst, d.Bytes)
		dst = append(dst, `,"encoding":"text"`...)
	} else {
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, d.Bytes)
		dst = append(dst, `","encoding":"base64"`...)
	}
	dst = append(dst, `,"replayed_at":`...)
	if d.Replay.At.IsZero() {
		dst = append(dst, "null"...)
	} else {
		dst = appendTime(dst, d.Replay.At)
	}
	dst = append(dst, `,"replayed_readings":`...)
	dst = strconv.AppendInt(dst, int64(d.Replay.Readings), 10)
	return append(dst, '}')
}

// shownBytes is about how long letters are in JSON, where a byte that cannot be shown takes six. With so much
// room made at first, large ones are not copied again and again while the answer grows.
func shownBytes(letters []iot.DeadLetter) (n int) {
	const others = 700
	for _, d := range letters {
		n += others + len(d.Bytes)
		for _, b := range d.Bytes {
			if b < ' ' {
				n += len(`\u0000`) - 1
			}
		}
	}
	return n
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
	return a.writeFetched(c, a.letters, 1, func(ctx context.Context) (shape, error) {
		page, err := a.DeadLetters.FindDeadLetters(ctx, q)
		if err != nil {
			return nil, err
		}
		if !page.Next.IsZero() {
			p.linkNext(c, page.Next.String())
		}
		return func(dst []byte) []byte {
			return list(page.Letters, appendDeadLetter)(slices.Grow(dst, shownBytes(page.Letters)))
		}, nil
	})
}

func (a *API) getDeadLetter(c echo.Context) error {
	id, err := letterPathID(c)
	if err != nil {
		return err
	}
	return a.writeFetched(c, a.letters, 1, func(ctx context.Context) (shape, error) {
		d, err := a.DeadLetters.DeadLetter(ctx, id)
		if err != nil {
			return nil, err
		}
		return one(d, appendDeadLetter), nil
	})
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
	return a.writeJSON(c, http.StatusOK, s)
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
	return a.writeJSON(c, http.StatusOK, struct {
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
