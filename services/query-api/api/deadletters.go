package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	defaultDeadLetters = 100 // in a list, where the client sets no limit
	msgNoFilter        = "Name what to delete by reason, device_id, topic, since, until or replayed."
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
	if key := d.Key(); key != "" {
		member(`,"device_key":`, key)
	}
	member(`,"source":`, d.Source)
	orNull := func(name, value string) {
		if value == "" {
			dst = append(append(dst, name...), "null"...)
		} else {
			member(name, value)
		}
	}
	orNull(`,"client_id":`, d.Client)
	orNull(`,"principal":`, d.Principal)
	dst = append(dst, `,"received_at":`...)
	dst = appendTime(dst, d.Received)
	dst = append(dst, `,"retained":`...)
	dst = strconv.AppendBool(dst, d.Retained)
	orNull(`,"content_type":`, d.ContentType)
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

// encodedSize is about how long dead letters are in JSON, where a byte that cannot be shown takes six. A buffer that is
// made that large at first is not copied again and again while the answer grows.
func encodedSize(deadLetters []iot.DeadLetter) (n int) {
	const others = 700
	for _, d := range deadLetters {
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
	q := iot.DeadLetterQuery{
		Reason:   p.reason("reason"),
		Device:   p.device("device_id"),
		Source:   p.topicFilter("topic"),
		Replayed: p.boolean("replayed"),
	}
	q.From, q.To = p.between("since", "until")
	return q
}

func (a *API) listDeadLetters(ctx context.Context, r *request) (*answer, error) {
	q := r.query.deadLetterQuery()
	q.Limit, q.After = r.query.limit(defaultDeadLetters), r.query.deadLetterCursor()
	if err := r.query.err(); err != nil {
		return nil, err
	}
	release, err := take(ctx, a.limits.deadLetterPages, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	page, err := r.DeadLetters.FindDeadLetters(ctx, q)
	if err != nil {
		return nil, err
	}
	if !page.Next.IsZero() {
		r.linkNext(page.Next.String())
	}
	return encodeList(page.DeadLetters, encodedSize(page.DeadLetters), appendDeadLetter), nil
}

func (a *API) getDeadLetter(ctx context.Context, r *request) (*answer, error) {
	id, err := r.deadLetterID()
	if err != nil {
		return nil, err
	}
	release, err := take(ctx, a.limits.deadLetterPages, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	d, err := r.DeadLetters.DeadLetter(ctx, id)
	if err != nil {
		return nil, err
	}
	return encode(http.StatusOK, d, appendDeadLetter), nil
}

func (a *API) deleteDeadLetter(ctx context.Context, r *request) (*answer, error) {
	id, err := r.deadLetterID()
	if err != nil {
		return nil, err
	}
	if err := r.DeadLetters.DeleteDeadLetter(ctx, id); err != nil {
		return nil, err
	}
	a.record(ctx, "dead_letter.delete", "dead_letter/"+id.String(), nil)
	return noContent, nil
}

// deleteDeadLetters requires a filter, and refuses unknown parameters: a mistyped name must not delete more than was
// meant.
func (a *API) deleteDeadLetters(ctx context.Context, r *request) (*answer, error) {
	q := r.query.deadLetterQuery()
	r.query.refuseOthers()
	if reflect.ValueOf(q).IsZero() && r.query.errs == nil {
		r.query.fail(errNoField, msgNoFilter)
	}
	if err := r.query.err(); err != nil {
		return nil, err
	}
	deleted, err := r.DeadLetters.DeleteDeadLetters(ctx, q)
	if err != nil {
		return nil, err
	}
	a.Log.Info("dead letters deleted", "count", deleted, "request_id", r.Response().Header().Get(requestIDHeader))
	a.record(ctx, "dead_letter.delete", "dead_letters", bulkChange{r.Request().URL.RawQuery, deleted})
	return encodeAny(http.StatusOK, struct {
		Deleted int `json:"deleted"`
	}{deleted})
}

// bulkChange is what the audit says of a change of many dead letters.
type bulkChange struct {
	Filter string `json:"filter"`
	Count  int    `json:"count"`
}

// fixedPaths are the methods of the paths where an id could stand. Echo routes other methods of such a path to those of
// one dead letter, if that has them.
var fixedPaths = map[string]string{"stats": "OPTIONS, GET, HEAD", "replay": "OPTIONS, POST"}

// deadLetterID reads the id in the path. What is no id is not found.
func (r *request) deadLetterID() (iot.DeadLetterID, error) {
	if allow, ok := fixedPaths[r.Param("id")]; ok {
		r.Response().Header().Set(echo.HeaderAllow, allow)
		return iot.DeadLetterID{}, echo.ErrMethodNotAllowed
	}
	id, err := iot.ParseDeadLetterID(r.Param("id"))
	if err != nil {
		return id, errNotFound
	}
	return id, nil
}
