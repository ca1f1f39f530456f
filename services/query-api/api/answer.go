package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

var (
	applicationJSON = []string{"application/json"}
	gzipEncoding    = []string{"gzip"}
)

// answer is what a handler returns: encoded, and yet to be sent.
type answer struct {
	status  int
	body    []byte       // JSON; nil for none
	last    iot.DeviceID // of a page of a list by device (devicePage)
	buffer  *[]byte      // of buffers, where body is one; else nil
	release func()       // gives back the room that body takes while it is sent; nil where it has none yet
}

// buffers are reused from answer to answer, as long as they are not huge.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const maxPooledBuffer = 1 << 20

// encode answers with v, which appendJSON appends.
func encode[T any](status int, v T, appendJSON func([]byte, T) []byte) *answer {
	buffer := buffers.Get().(*[]byte)
	return &answer{status: status, body: appendJSON((*buffer)[:0], v), buffer: buffer}
}

// encodeList answers with an array of all, each of which appendJSON appends. size is about how long it becomes, or 0.
func encodeList[T any](all []T, size int, appendJSON func([]byte, T) []byte) *answer {
	return encode(http.StatusOK, all, func(dst []byte, all []T) []byte {
		return appendList(slices.Grow(dst, size), all, appendJSON)
	})
}

// appendList appends an array of all.
func appendList[T any](dst []byte, all []T, appendJSON func([]byte, T) []byte) []byte {
	dst = append(dst, '[')
	for i, v := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJSON(dst, v)
	}
	return append(dst, ']')
}

// encodeAny answers with v, for what is small or rare enough for encoding/json.
func encodeAny(status int, v any) (*answer, error) {
	body, err := marshal(v)
	return &answer{status: status, body: body}, err
}

// noContent answers with nothing but that it was done.
var noContent = &answer{status: http.StatusNoContent, release: func() {}}

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

// send sends an answer, unless the client has it. The answer takes room until the client has received it or sendTimeout is
// over.
func (a *API) send(c echo.Context, encoded *answer) error {
	header := c.Response().Header()
	if len(encoded.body) >= minCompressed {
		vary(c, echo.HeaderAcceptEncoding)
	}
	if label(c, encoded) {
		encoded.discard()
		return c.NoContent(http.StatusNotModified)
	}
	answer, err := a.prepare(c, encoded)
	if err != nil {
		header.Del("Link")
		header.Del(headerETag)
		return err
	}
	defer answer.free()
	if answer.body == nil {
		return c.NoContent(answer.status)
	}
	header[echo.HeaderContentType] = applicationJSON
	header[echo.HeaderContentLength] = []string{strconv.Itoa(len(answer.body))}
	if len(answer.body) > smallAnswer { // of a small one the kernel takes all
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(sendTimeout))
	}
	c.Response().WriteHeader(answer.status)
	_, err = c.Response().Write(answer.body)
	return err
}

// prepare takes the room for sending an answer, and compresses it where the client takes that and it is worth it.
func (a *API) prepare(c echo.Context, original *answer) (*answer, error) {
	if err := a.reserve(original); err != nil {
		return nil, err
	}
	if len(original.body) < minCompressed {
		return original, nil
	}
	if !acceptsGzip(c.Request().Header) {
		return original, nil
	}
	compressed := a.limits.compressors.compress(original)
	if a.reserve(compressed) != nil {
		return original, nil // which has its room
	}
	original.free()
	c.Response().Header()[echo.HeaderContentEncoding] = gzipEncoding
	return compressed, nil
}

// reserve takes the room for sending an answer, where it has none and there is any.
func (a *API) reserve(answer *answer) error {
	if answer.release != nil {
		return nil
	}
	n := min(int64(len(answer.body)), maxSending)
	if n <= smallAnswer {
		answer.release = func() {}
		return nil
	}
	if !a.limits.sending.TryAcquire(n) {
		return errBusy
	}
	answer.release = func() { a.limits.sending.Release(n) }
	return nil
}

// discard is free for an answer that is not sent at all.
func (answer *answer) discard() {
	if answer.release == nil {
		answer.release = func() {}
	}
	answer.free()
}

// free gives back what an answer takes that is not sent any more.
func (answer *answer) free() {
	answer.release()
	if answer.buffer != nil && cap(answer.body) <= maxPooledBuffer {
		*answer.buffer = answer.body
		buffers.Put(answer.buffer)
	}
}
