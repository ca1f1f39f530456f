package api

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/scope"
	"github.com/telltale-iot/telltale/services/query-api/transfer"
)

const (
	maxExports   = iot.MaxWaitingScans // at the same time: 16 MB each at most, with the compression; beyond: 503, and for one client beyond half: 429
	exportBuffer = 64 << 10
	// scanTimeout is how long the store may take for the next reading, at least: it is looked at so often.
	scanTimeout = time.Minute
)

// Headers behind a file, where it is whole.
const (
	trailerCount  = "X-Readings-Count"
	trailerDigest = "X-Body-Sha256" // of the body as it was before a Content-Encoding
	trailerCursor = "X-Next-Cursor" // where what comes later begins
)

var (
	errManyExports = &problem{http.StatusServiceUnavailable, "Too many exports at the same time. Try again later.", 10}
	errYourExports = &problem{http.StatusTooManyRequests, fmt.Sprintf("Your address has %d exports under way, and may have no more. Try again later.", maxExports/2), 10}
	errScanStalled = errors.New("the store gave no reading in time")
	errStopping    = &problem{http.StatusServiceUnavailable, "The service is being started again. Try again later.", 5}
)

// msgNoColumn is for a name that a metric cannot have a column of.
const msgNoColumn = "Select a valid choice. %s is not one of the available choices. They are the names of metrics; what else readings have is always there."

// msgExportCursor is for a cursor that is neither of an export nor of a list.
const msgExportCursor = "Invalid cursor: the timestamp and the device_id of the last reading, with a comma between them."

// exportReadings answers with a file of all readings that r selects, oldest first.
func (a *API) exportReadings(c echo.Context) error {
	r := &request{Context: c, query: readParams(c)}
	if err := a.view(c.Request().Context(), r, recently()); err != nil {
		return err
	}
	format, ok := r.format()
	if !ok {
		format = transfer.NDJSON
	}
	return a.export(r, format, iot.ScanQuery{Devices: r.query.devices("device_id")})
}

// listOrExport has list answer a request, unless it asks for a file: then that has what the request selects, newest first.
func (a *API) listOrExport(list echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := &request{Context: c, query: readParams(c)}
		format, ok := r.format(jsonFormat)
		if !ok {
			vary(c, echo.HeaderAccept)
			return list(c)
		}
		ctx := c.Request().Context()
		if err := a.view(ctx, r, recently()); err != nil {
			return err
		}
		q := iot.ScanQuery{Newest: true}
		if c.Param("id") == "" {
			q.Devices = r.query.devices("device_id")
		} else if device, err := a.device(ctx, r); err == nil {
			q.Devices = []iot.DeviceID{device.ID}
		} else {
			return err
		}
		return a.export(r, format, q)
	}
}

// jsonFormat is what a list is in that is no file.
const jsonFormat = "json"

// format reads which file a request asks for: by its parameter format or, without one, by the header Accept. It returns
// false where that is none, but JSON or one of others.
func (r *request) format(others ...string) (transfer.Format, bool) {
	if name := r.query.get("format"); name != "" {
		for _, f := range transfer.Formats {
			if f.Name == name {
				return f, true
			}
		}
		if !slices.Contains(others, name) {
			for _, f := range transfer.Formats {
				others = append(others, f.Name)
			}
			r.query.failChoice("format", name, others...)
		}
		return transfer.Format{}, false
	}
	best, weight := transfer.Format{}, 0.0
	for mediaType, q := range accepted(r.Request().Header["Accept"]) {
		for _, f := range transfer.Formats {
			if strings.EqualFold(mediaType, f.MediaType) && q > weight {
				best, weight = f, q
			}
		}
		if q >= weight && q > 0 && (mediaType == "*/*" || mediaType == "application/*" || mediaType == "application/json") {
			best, weight = transfer.Format{}, q
		}
	}
	return best, best.Name != ""
}

// export answers with a file of the readings that r and q select.
func (a *API) export(r *request, format transfer.Format, q iot.ScanQuery) error {
	q.From, q.To = r.query.between("since", "until")
	limit := r.query.integer("limit", math.MaxInt64, math.MaxInt64)
	q.After = r.query.exportCursor()
	columns := r.query.columns()
	if err := r.query.err(); err != nil {
		return err
	}
	d := &download{request: r, control: http.NewResponseController(r.Response()), pace: newPace(), format: format, last: q.After}
	r.nameUnknown()
	if r.Request().Method == http.MethodHead {
		d.begin()
		return nil
	}
	body, err := a.receive(r.Context) // before there is a slot: net/http would wait for it before it answers
	if err != nil {
		return err
	}
	a.limits.bodies.Release(int64(len(body)))
	release, err := a.limits.exports.take(r.Request().RemoteAddr)
	if err != nil {
		return err
	}
	defer release()
	limitSendBuffer(r.Request().Context())
	_ = d.control.SetReadDeadline(time.Time{}) // else its end would look like the client's leaving
	_ = d.control.SetWriteDeadline(time.Time{})

	ctx, stop := a.watchScan(r.Request().Context(), r, d)
	defer stop()
	err = a.sendFile(ctx, d, q, columns, limit)
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case cause != nil && r.Request().Context().Err() == nil:
		err = cause
	}
	if !d.begun {
		_ = d.control.SetWriteDeadline(time.Now().Add(sendTimeout))
		return err
	}
	// A body without its end, and without trailers: that is how the client learns of it.
	if d.gone || r.Request().Context().Err() != nil {
		r.Response().Status = statusClientGone
	} else {
		r.Response().Status = a.problemOf(err, r).status
	}
	panic(http.ErrAbortHandler)
}

// watchScan returns a context that ends when the store gives d nothing more, with errScanStalled, when the API stops, and when
// who sends r may not see all of it any more.
func (a *API) watchScan(ctx context.Context, r *request, d *download) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	a.watch(ctx, r, access.Viewer, (*scope.Scope).Exceeds, cancel)
	unhook := context.AfterFunc(a.closing, func() { cancel(errStopping) })
	go func() {
		ticker := time.NewTicker(scanTimeout)
		defer ticker.Stop()
		for before := int64(0); ; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			now := d.steps.Load()
			if now == before && !d.sending.Load() {
				cancel(errScanStalled)
			}
			before = now
		}
	}()
	return ctx, func() { unhook(); cancel(context.Canceled) }
}

// sendFile writes the file to d.
func (a *API) sendFile(ctx context.Context, d *download, q iot.ScanQuery, columns []string, limit int64) error {
	if columns == nil && d.format != transfer.NDJSON {
		ctx, cancel := context.WithTimeout(ctx, timeouts.CountRequest)
		defer cancel()
		var err error
		if columns, err = transfer.Columns(ctx, d.Readings, q); err != nil {
			return err
		}
	}
	buffered := bufio.NewWriterSize(d, exportBuffer)
	compressed := d.compress(buffered)
	body := &digest{w: compressed, hash: sha256.New()}
	encoder := transfer.NewEncoder(body, d.format, columns, !q.After.IsZero())
	err := d.Readings.ScanReadings(ctx, q, func(r *iot.Reading) (more bool, err error) {
		if err := encoder.Write(r); err != nil {
			return false, err
		}
		d.last = iot.Cursor{At: r.At, Device: r.Device}
		d.steps.Add(1)
		d.count++
		return d.count < limit, nil
	})
	err = cmp.Or(err, ctx.Err()) // a store may end early
	for _, end := range []func() error{encoder.Close, compressed.Close, buffered.Flush} {
		if err == nil {
			err = end()
		}
	}
	if err != nil {
		return err
	}
	d.end(hex.EncodeToString(body.hash.Sum(nil)))
	return nil
}

// digest hashes what is written.
type digest struct {
	w    io.Writer
	hash hash.Hash
}

func (d *digest) Write(p []byte) (int, error) {
	_, _ = d.hash.Write(p) // a hash never fails
	return d.w.Write(p)
}

// download is a file on its way to a client.
type download struct {
	*request
	control *http.ResponseController
	format  transfer.Format
	pace    pace
	begun   bool
	gone    bool // the client is, or takes too long
	count   int64
	last    iot.Cursor
	coding  string // Content-Encoding

	steps   atomic.Int64 // of the store and of the client: something goes on where these do
	sending atomic.Bool  // which may take longer than the store may
}

// begin sends the header, as late as can be: until then an error has an answer of its own.
func (d *download) begin() {
	d.begun = true
	header := d.Response().Header()
	header.Set(echo.HeaderContentType, d.format.MediaType)
	header.Set(echo.HeaderContentDisposition, `attachment; filename="readings.`+d.format.Name+`"`)
	header.Set(echo.HeaderCacheControl, keptByNobody)
	vary(d, echo.HeaderAccept)
	vary(d, echo.HeaderAcceptEncoding)
	header.Set("Trailer", trailerCount+", "+trailerDigest+", "+trailerCursor)
	if d.coding != "" {
		header.Set(echo.HeaderContentEncoding, d.coding)
	}
	d.Response().WriteHeader(http.StatusOK)
}

// Write sends a part of the file.
func (d *download) Write(p []byte) (int, error) {
	if !d.begun {
		d.begin()
	}
	d.sending.Store(true)
	n, err := d.pace.move(len(p), d.control.SetWriteDeadline, func() (int, error) { return d.Response().Write(p) })
	d.steps.Add(1)
	d.sending.Store(false)
	d.gone = d.gone || err != nil
	return n, err
}

// end sends what comes behind the file.
func (d *download) end(sum string) {
	if !d.begun {
		d.begin()
	}
	header := d.Response().Header()
	header.Set(trailerCount, strconv.FormatInt(d.count, 10))
	header.Set(trailerDigest, sum)
	if !d.last.IsZero() {
		header.Set(trailerCursor, transfer.Cursor(d.last))
	}
	_ = d.control.SetWriteDeadline(time.Now().Add(sendTimeout))
}

// compress returns what compresses a file for w, as far as the client takes that and the format gains by it.
func (d *download) compress(w io.Writer) io.WriteCloser {
	if d.format == transfer.Parquet { // which is compressed
		return uncompressed{w}
	}
	switch header := d.Request().Header; {
	case accepts(header, "zstd"):
		d.coding = "zstd"
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
		if err != nil {
			panic(err) // the options are known
		}
		return z
	case accepts(header, "gzip"):
		d.coding = "gzip"
		z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is known
		}
		return z
	}
	return uncompressed{w}
}

type uncompressed struct{ io.Writer }

func (uncompressed) Close() error { return nil }

// exportCursor reads where a file goes on: behind the reading with that timestamp and device_id, or where a list does.
func (p *params) exportCursor() iot.Cursor {
	s := p.get("cursor")
	if cursor, err := transfer.ParseCursor(s); err == nil {
		return cursor
	}
	cursor, err := iot.ParseCursor(s)
	if err != nil {
		p.fail("cursor", msgExportCursor)
	}
	return cursor
}

// columns reads which metrics are to have columns beside temperature and humidity, each once; nil where none is given.
func (p *params) columns() []string {
	names := p.each("column")
	if len(names) == 0 {
		return nil
	}
	columns := []string{}
	for _, name := range names {
		switch {
		case name == iot.Temperature, name == iot.Humidity, slices.Contains(columns, name):
		case !transfer.IsColumn(name):
			p.fail("column", fmt.Sprintf(msgNoColumn, name))
			return nil
		case len(columns) == transfer.MaxColumns:
			p.fail("column", fmt.Sprintf(msgTooMany, transfer.MaxColumns))
			return nil
		default:
			columns = append(columns, name)
		}
	}
	return columns
}
