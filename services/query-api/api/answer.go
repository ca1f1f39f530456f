package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/readingjson"
)

var applicationJSON = []string{"application/json"}

// buffers are reused from answer to answer, as long as they are not huge.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const keepBuffer = 1 << 20

// writeBytes answers with the JSON that fill appends to the buffer it is given.
func writeBytes(c echo.Context, status int, fill func(dst []byte) []byte) error {
	buf := buffers.Get().(*[]byte)
	body := fill((*buf)[:0])
	header := c.Response().Header()
	header[echo.HeaderContentType] = applicationJSON
	header[echo.HeaderContentLength] = []string{strconv.Itoa(len(body))}
	c.Response().WriteHeader(status)
	_, err := c.Response().Write(body)
	if cap(body) <= keepBuffer {
		*buf = body
		buffers.Put(buf)
	}
	return err
}

// writeJSON answers with v, for what is small or rare enough for encoding/json.
func writeJSON(c echo.Context, status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return writeBytes(c, status, func(dst []byte) []byte {
		return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
	})
}

// writeCreated answers 201 with v, which is at the path from now on.
func writeCreated(c echo.Context, path string, v any) error {
	c.Response().Header().Set(echo.HeaderLocation, path)
	return writeJSON(c, http.StatusCreated, v)
}

func formatTime(t time.Time) string { return string(readingjson.AppendTime(nil, t)) }
