package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/ingest"
	"github.com/telltale-iot/telltale/services/query-api/scope"
	"github.com/telltale-iot/telltale/services/query-api/transfer"
)

const (
	maxImports   = 2 // at the same time: 8 MB each at most; beyond: 503, and for one client beyond half: 429
	maxShown     = 20
	importPath   = "/api/readings/import/"
	maxWindow    = 8 << 20          // bytes that zstd may look back
	importEvery  = time.Second      // progress is told
	kafkaTimeout = 30 * time.Second // for Kafka to take a part of a file
)

var (
	errManyImports = &problem{http.StatusServiceUnavailable, "Too many imports at the same time. Try again later.", 10}
	errYourImport  = &problem{http.StatusTooManyRequests, "Your address has an import under way, and may have no more. Try again later.", 10}
)

// imported is what became of a file so far, as clients see it.
type imported struct {
	Detail   string         `json:"detail,omitempty"` // why it ended early, or nothing was accepted
	Done     bool           `json:"done"`
	Lines    int            `json:"lines"`
	Accepted int            `json:"accepted"`
	Rejected int            `json:"rejected"`
	Omitted  int            `json:"incomplete,omitempty"` // members that readings are kept without
	First    []rejectedLine `json:"first_rejected"`
}

type rejectedLine struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// importReadings takes a file of readings to Kafka, of any size, as fast as Kafka takes it.
func (a *API) importReadings(c echo.Context) error {
	r := &request{Context: c, query: readParams(c)}
	r.nameUnknown() // it takes none
	if err := a.view(c.Request().Context(), r, recently()); err != nil {
		return err
	}
	format, err := r.importFormat()
	if err != nil {
		return err
	}
	release, err := a.limits.imports.take(c.Request().RemoteAddr)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithCancelCause(c.Request().Context())
	defer cancel(nil)
	defer context.AfterFunc(a.closing, func() { cancel(errStopping) })()
	a.watch(ctx, r, access.Operator, func(_, _ *scope.Scope) bool { return false }, cancel) // each part of the file is looked at

	upload := &upload{body: contextReader{ctx, c.Request().Body}, control: http.NewResponseController(c.Response()), pace: newPace()}
	defer upload.end()
	_ = upload.control.SetWriteDeadline(time.Time{})
	body, err := upload.decompress(c)
	if err != nil {
		return err
	}
	defer body.Close()

	answer := &importAnswer{imported: imported{First: []rejectedLine{}}, a: a, c: c, told: time.Now(), upload: upload, pace: newPace()}
	for mediaType, weight := range accepted(c.Request().Header["Accept"]) {
		answer.progress = answer.progress || weight > 0 && strings.EqualFold(mediaType, transfer.NDJSON.MediaType)
	}
	if answer.progress { // it is told while the file comes; what does not come is then not passed over for another request
		_ = upload.control.EnableFullDuplex()
		c.Response().Header().Set("Connection", "close")
	}
	err = a.importFrom(ctx, r, contextReader{ctx, body}, format, answer)
	if cause := context.Cause(ctx); err != nil && cause != nil && c.Request().Context().Err() == nil {
		err = cause
	}
	return answer.end(err)
}

// importFormat is what the request says of its body; the zero Format where that says nothing.
func (r *request) importFormat() (transfer.Format, error) {
	contentType := r.Request().Header.Get(echo.HeaderContentType)
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
		err = errors.New("another charset")
	}
	switch {
	case contentType == "":
		return transfer.Format{}, nil
	case err == nil:
		switch mediaType {
		case transfer.CSV.MediaType:
			return transfer.CSV, nil
		case transfer.NDJSON.MediaType, "application/jsonl", "application/x-jsonlines", "application/json":
			return transfer.NDJSON, nil
		case "application/octet-stream", "application/x-www-form-urlencoded", "text/plain": // curl, and who knows no better
			return transfer.Format{}, nil
		}
	}
	return transfer.Format{}, &problem{
		status: http.StatusUnsupportedMediaType,
		detail: fmt.Sprintf("Unsupported media type \"%.100s\" in request. Send text/csv or application/x-ndjson, in UTF-8.", contentType),
	}
}

// importFrom sends what is in body, and counts it in answer.
func (a *API) importFrom(ctx context.Context, r *request, body io.Reader, format transfer.Format, answer *importAnswer) error {
	decoder, err := transfer.NewDecoder(body, format, a.Rules.Zone())
	if err != nil {
		return fileProblem(err)
	}
	for {
		if decoder.May, err = a.mayName(ctx, r); err != nil { // which may change while the file comes
			return err
		}
		received := time.Now().UTC().Truncate(time.Millisecond)
		part, err := decoder.Next(received)
		if errors.Is(err, io.EOF) {
			answer.Lines = part.Lines
			return nil
		} else if err != nil {
			return fileProblem(err)
		}
		result, err := a.importPart(ctx, ingest.Part{
			Source: importPath, Client: r.client(), Received: received, Decoded: part.Decoded, Bytes: part.Bytes,
		})
		if err != nil {
			return err
		}
		if err := answer.add(part.Lines, result); err != nil {
			return err
		}
	}
}

// fileProblem is why no more of a file was read.
func fileProblem(err error) error {
	var refusal transfer.Refusal
	if errors.As(err, &refusal) {
		return &problem{status: http.StatusBadRequest, detail: refusal.Error()}
	}
	return bodyProblem(err)
}

func (a *API) importPart(ctx context.Context, part ingest.Part) (ingest.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, kafkaTimeout)
	defer cancel()
	return a.Ingester.IngestPart(ctx, part)
}

// importAnswer is the answer to an import, which may tell how far it is.
type importAnswer struct {
	imported
	a        *API
	c        echo.Context
	upload   *upload
	pace     pace // of the client that is told
	progress bool
	begun    bool
	told     time.Time
}

// add counts what became of a part.
func (i *importAnswer) add(lines int, result ingest.Result) error {
	i.Lines = lines
	i.Accepted += result.Accepted
	i.Rejected += len(result.Rejected)
	i.Omitted += result.Omitted
	for _, r := range result.Rejected[:min(len(result.Rejected), maxShown-len(i.First))] {
		i.First = append(i.First, rejectedLine{r.Index, string(r.Reason), r.Detail})
	}
	if !i.progress || time.Since(i.told) < importEvery {
		return nil
	}
	i.told = time.Now()
	return i.tell()
}

// tell sends how far it is, as a line.
func (i *importAnswer) tell() error {
	line, err := marshal(i.imported)
	if err != nil {
		return err
	}
	if !i.begun {
		i.begun = true
		i.c.Response().Header().Set(echo.HeaderContentType, transfer.NDJSON.MediaType)
		i.c.Response().Header().Set(echo.HeaderCacheControl, keptByNobody)
		i.c.Response().WriteHeader(http.StatusAccepted)
	}
	line = append(line, '\n')
	_, err = i.pace.move(len(line), i.upload.control.SetWriteDeadline, func() (int, error) {
		n, err := i.c.Response().Write(line)
		return n, cmp.Or(err, i.upload.control.Flush())
	})
	return err
}

// end sends the answer, where it has not begun with the status that there is.
func (i *importAnswer) end(err error) error {
	status := http.StatusAccepted
	switch {
	case err != nil:
		p := i.a.problemOf(err, i.c)
		status, i.Detail = p.status, p.detail
		if i.Lines == 0 && !i.begun {
			return err
		}
		i.a.logRefusal(p, i.c)
	case i.Accepted == 0 && i.Rejected > 0:
		status, i.Done = http.StatusBadRequest, true
		i.Detail = fmt.Sprintf("Nothing in it is a reading: line %d, %s, %s.", i.First[0].Line, i.First[0].Reason, i.First[0].Detail)
	default:
		i.Done = true
	}
	if i.begun || i.progress && status == http.StatusAccepted {
		return i.tell()
	}
	answer, err := encodeAny(status, i.imported)
	if err != nil {
		return err
	}
	_ = i.upload.control.SetWriteDeadline(time.Now().Add(sendTimeout))
	return i.a.send(i.c, answer)
}

// contextReader is a body that breaks off when ctx ends, even where very much of it comes from a few compressed bytes.
type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(p)
}

// upload is a body of any size, as long as it comes.
type upload struct {
	body    io.Reader
	control *http.ResponseController
	pace    pace
}

func (u *upload) Read(p []byte) (int, error) {
	n, err := u.pace.move(0, u.control.SetReadDeadline, func() (int, error) { return u.body.Read(p) })
	if errors.Is(err, io.EOF) {
		_ = u.control.SetReadDeadline(time.Time{}) // else its end would look like the client's leaving while Kafka takes the last part
	}
	return n, err
}

// end bounds what net/http waits for of a body that was not read to its end. For the next request it sets a deadline itself.
func (u *upload) end() { _ = u.control.SetReadDeadline(time.Now().Add(u.pace.left)) }

// decompress returns the body as it was before its Content-Encoding.
func (u *upload) decompress(c echo.Context) (io.ReadCloser, error) {
	coding := c.Request().Header.Get(echo.HeaderContentEncoding)
	switch {
	case coding == "" || strings.EqualFold(coding, "identity"):
		return io.NopCloser(u), nil
	case strings.EqualFold(coding, "gzip"):
		z, err := gzip.NewReader(u)
		if err != nil {
			return nil, compressionProblem(err, errNoGzip)
		}
		return z, nil
	case strings.EqualFold(coding, "zstd"):
		z, err := zstd.NewReader(u, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, compressionProblem(err, errNoZstd)
		}
		return z.IOReadCloser(), nil
	}
	c.Response().Header().Set(echo.HeaderAcceptEncoding, "gzip, zstd")
	return nil, &problem{status: http.StatusUnsupportedMediaType, detail: fmt.Sprintf("Unsupported content encoding \"%.100s\" in request. Send the body as it is, or in gzip or zstd.", coding)}
}

var errNoZstd = &problem{status: http.StatusBadRequest, detail: "The request body is not zstd, as its Content-Encoding says."}

// compressionProblem is wrong, unless the body did not come.
func compressionProblem(err error, wrong *problem) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return bodyProblem(err)
	}
	return wrong
}
