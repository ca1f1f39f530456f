package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/pkg/readingjson"
)

var applicationJSON = []string{"application/json"}

// buffers are reused from answer to answer, as long as they are not huge.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const keepBuffer = 1 << 20

// shape appends an answer in JSON to dst.
type shape func(dst []byte) []byte

// one is v in the form that show appends.
func one[T any](v T, show func([]byte, T) []byte) shape {
	return func(dst []byte) []byte { return show(dst, v) }
}

// list is an array of all, each in the form that show appends.
func list[T any](all []T, show func([]byte, T) []byte) shape {
	return func(dst []byte) []byte {
		dst = append(dst, '[')
		for i, v := range all {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = show(dst, v)
		}
		return append(dst, ']')
	}
}

// write answers with what is small enough to need no room while it is made.
func (a *API) write(c echo.Context, status int, s shape) error {
	buf := buffers.Get().(*[]byte)
	*buf = s((*buf)[:0])
	return a.sendBuffer(c, status, buf)
}

// writeJSON answers with v, for what is small or rare enough for encoding/json.
func (a *API) writeJSON(c echo.Context, status int, v any) error {
	body, err := marshal(v)
	if err != nil {
		return err
	}
	return a.send(c, status, body)
}

// writeFetched answers with what fetch returns. From before it is fetched until it is JSON it takes n of room, for
// which a request waits as long as it may.
func (a *API) writeFetched(c echo.Context, room *semaphore.Weighted, n int64, fetch func(context.Context) (shape, error)) error {
	buf, err := fetched(c.Request().Context(), room, n, fetch)
	if err != nil {
		return err
	}
	return a.sendBuffer(c, http.StatusOK, buf)
}

func fetched(ctx context.Context, room *semaphore.Weighted, n int64, fetch func(context.Context) (shape, error)) (*[]byte, error) {
	if room.Acquire(ctx, n) != nil {
		return nil, errBusy
	}
	defer room.Release(n)
	s, err := fetch(ctx)
	if err != nil {
		return nil, err
	}
	buf := buffers.Get().(*[]byte)
	*buf = s((*buf)[:0])
	return buf, nil
}

func (a *API) sendBuffer(c echo.Context, status int, buf *[]byte) error {
	err := a.send(c, status, *buf)
	if cap(*buf) <= keepBuffer {
		buffers.Put(buf)
	}
	return err
}

// send answers with body, which takes room until the client has taken it, or has not in time.
func (a *API) send(c echo.Context, status int, body []byte) error {
	release, err := a.roomToSend(body)
	if err != nil {
		c.Response().Header().Del("Link")
		return err
	}
	defer release()
	return sendBytes(c, status, body)
}

// roomToSend takes the room for sending body, if there is any.
func (a *API) roomToSend(body []byte) (release func(), _ error) {
	n := min(int64(len(body)), maxSending)
	if n <= smallAnswer {
		return func() {}, nil
	}
	if !a.sending.TryAcquire(n) {
		return nil, errBusy
	}
	return func() { a.sending.Release(n) }, nil
}

func sendBytes(c echo.Context, status int, body []byte) error {
	header := c.Response().Header()
	header[echo.HeaderContentType] = applicationJSON
	header[echo.HeaderContentLength] = []string{strconv.Itoa(len(body))}
	if len(body) > smallAnswer { // of a small one the kernel takes all
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(sendTimeout))
	}
	c.Response().WriteHeader(status)
	_, err := c.Response().Write(body)
	return err
}

// marshal is json.Marshal without its escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// appendTime appends t as a JSON string.
func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = readingjson.AppendTime(dst, t)
	return append(dst, '"')
}
