package api

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

// What may be kept of an answer. What a GET finds a client may keep, and asks each time whether it is still so: with the ETag
// of what it has, in If-None-Match; where nothing has changed the answer is 304, without a body. No proxy keeps it, which would
// not know who may see it. All else is kept by nobody: errors, answers to writes, files and streams.
const (
	keptByClient = "private, no-cache"
	keptByNobody = "no-store"
)

const headerETag = "Etag" // as net/http spells ETag

// label says what may be kept of an answer, and reports whether the client has it.
func label(c echo.Context, answer *answer) (unchanged bool) {
	header, r := c.Response().Header(), c.Request()
	if answer.status != http.StatusOK || r.Method != http.MethodGet && r.Method != http.MethodHead {
		header[echo.HeaderCacheControl] = []string{keptByNobody}
		return false
	}
	etag := etagOf(answer.body, header.Get("Link"))
	header[echo.HeaderCacheControl], header[headerETag] = []string{keptByClient}, []string{etag}
	return matches(r.Header["If-None-Match"], etag)
}

// etagOf returns a weak ETag, which is of the JSON, in whatever coding it is sent. It is the same on all replicas. That there is
// more to a list shows in its link alone.
func etagOf(body []byte, link string) string {
	h := sha256.New()
	_, _ = h.Write(body) // a hash never fails
	_, _ = h.Write([]byte(link))
	return `W/"` + base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12]) + `"`
}

// matches reports whether the values of If-None-Match name etag (RFC 9110, section 13.1.2): weak or not, it is the same answer.
func matches(values []string, etag string) bool {
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			one = strings.TrimSpace(one)
			if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(etag, "W/") {
				return true
			}
		}
	}
	return false
}

// vary names a header of the request on which the answer depends.
func vary(c echo.Context, name string) {
	header := c.Response().Header()
	before := header.Get(echo.HeaderVary)
	switch {
	case before == "":
		header.Set(echo.HeaderVary, name)
	case !strings.HasSuffix(before, name): // which it is where an answer could not be sent, and another one is
		header.Set(echo.HeaderVary, before+", "+name)
	}
}
