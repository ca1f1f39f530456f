package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

const (
	defaultAudit   = 100  // entries in a list, where the client sets no limit
	auditPage      = 1000 // entries that a file is read by
	maxAuditFilter = 255  // characters
	maxAudit       = 1000 // entries in a list: each may have a row of some hundred bytes before and after
)

// appendAudit appends e as clients see it.
func appendAudit(dst []byte, e iot.AuditEntry) []byte {
	text := func(name, value string) {
		dst = append(dst, name...)
		if value == "" {
			dst = append(dst, "null"...)
		} else {
			dst = readingjson.AppendString(dst, value)
		}
	}
	row := func(name string, value json.RawMessage) {
		dst = append(dst, name...)
		if value == nil {
			value = json.RawMessage("null")
		}
		dst = append(dst, value...)
	}
	dst = append(dst, `{"id":`...)
	dst = strconv.AppendInt(dst, e.ID, 10)
	dst = append(dst, `,"at":`...)
	dst = appendTime(dst, e.At)
	text(`,"actor":`, e.Actor.Name)
	text(`,"token":`, e.Actor.Token)
	text(`,"address":`, e.Actor.Address)
	text(`,"action":`, e.Action)
	text(`,"object":`, e.Object)
	row(`,"before":`, e.Before)
	row(`,"after":`, e.After)
	return append(dst, '}')
}

// auditQuery reads the parameters that select entries.
func (p *params) auditQuery() iot.AuditQuery {
	q := iot.AuditQuery{Actor: p.text("actor", maxAuditFilter), Action: p.text("action", maxAuditFilter), Object: p.text("object", maxAuditFilter), Before: p.idCursor()}
	q.From, q.To = p.between("since", "until")
	return q
}

const ndjson = "application/x-ndjson"

// getAudit answers with a page of entries, or with a file of all that r selects.
func (a *API) getAudit(c echo.Context) error {
	r := &request{Context: c, query: readParams(c)}
	format := r.query.get("format")
	switch {
	case format == "ndjson", format == "" && c.Request().Header.Get(echo.HeaderAccept) == ndjson:
		return a.exportAudit(r)
	case format != "" && format != jsonFormat:
		r.query.failChoice("format", format, jsonFormat, "ndjson")
		return r.query.err()
	}
	vary(c, echo.HeaderAccept)
	return a.serve(&a.limits.metadata, a.listAudit)(c)
}

func (a *API) listAudit(ctx context.Context, r *request) (*answer, error) {
	r.query.get("format")
	q := r.query.auditQuery()
	limit := int(r.query.integer("limit", maxAudit, defaultAudit))
	if err := r.query.err(); err != nil {
		return nil, err
	}
	q.Limit = limit + 1
	entries, err := a.Accounts.Audit(ctx, q)
	if err != nil {
		return nil, err
	}
	entries = cutRows(r, entries, limit, func(e *iot.AuditEntry) int64 { return e.ID })
	return encodeList(entries, 0, appendAudit), nil
}

// exportAudit sends all entries that r selects, newest first, a line each. A file without its end is a connection that ends
// early.
func (a *API) exportAudit(r *request) error {
	q := r.query.auditQuery()
	if err := r.query.err(); err != nil {
		return err
	}
	release, err := a.limits.exports.take(r.Request().RemoteAddr)
	if err != nil {
		return err
	}
	defer release()
	control := http.NewResponseController(r.Response())
	for q.Limit = auditPage; ; {
		entries, err := a.Accounts.Audit(r.Request().Context(), q)
		if err != nil && !r.Response().Committed {
			return err
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if !r.Response().Committed {
			header := r.Response().Header()
			header.Set(echo.HeaderContentType, ndjson)
			header.Set(echo.HeaderContentDisposition, `attachment; filename="audit.ndjson"`)
			header.Set(echo.HeaderCacheControl, keptByNobody)
			vary(r, echo.HeaderAccept)
			r.Response().WriteHeader(http.StatusOK)
		}
		var lines []byte
		for _, e := range entries {
			lines = append(appendAudit(lines, e), '\n')
		}
		_ = control.SetWriteDeadline(time.Now().Add(sendTimeout))
		if _, err := r.Response().Write(lines); err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
		if len(entries) < auditPage {
			return nil
		}
		q.Before = entries[len(entries)-1].ID
	}
}

// record adds to the audit what ctx's actor has done in a store that has none of its own. It is done, also where this fails:
// then the log says so. what is more to say about it, or nil.
func (a *API) record(ctx context.Context, action, object string, what any) {
	actor, ok := iot.ActorOf(ctx)
	if !ok {
		return
	}
	var (
		after []byte
		err   error
	)
	if what != nil {
		after, err = marshal(what)
	}
	if err == nil {
		err = a.Accounts.RecordAudit(ctx, iot.AuditEntry{Actor: actor, Action: action, Object: object, After: after})
	}
	if err != nil {
		a.Log.Error("what was done is not in the audit", "action", action, "object", object, "actor", actor.Name, "address", actor.Address, "what", string(after), "err", err)
	}
}
