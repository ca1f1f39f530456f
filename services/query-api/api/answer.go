package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
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

// writeOne answers with v in the form that show appends.
func writeOne[T any](c echo.Context, status int, v T, show func([]byte, T) []byte) error {
	return writeBytes(c, status, func(dst []byte) []byte { return show(dst, v) })
}

// writeList answers with list, each element in the form that show appends.
func writeList[T any](c echo.Context, list []T, show func([]byte, T) []byte) error {
	return writeBytes(c, http.StatusOK, func(dst []byte) []byte {
		dst = append(dst, '[')
		for i, v := range list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = show(dst, v)
		}
		return append(dst, ']')
	})
}

// writeJSON answers with v, for what is small or rare enough for encoding/json.
func writeJSON(c echo.Context, status int, v any) error {
	body, err := marshal(v)
	if err != nil {
		return err
	}
	return writeBytes(c, status, func(dst []byte) []byte { return append(dst, body...) })
}

// marshal is json.Marshal without its escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }) {
		text, _ := marshal(s) // of a string, it cannot fail
		return append(dst, text...)
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// appendTime appends t as a JSON string.
func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = readingjson.AppendTime(dst, t)
	return append(dst, '"')
}
