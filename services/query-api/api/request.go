package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"github.com/telltale-iot/telltale/services/query-api/scope"
)

// request is what a handler answers. All of its body has arrived.
type request struct {
	echo.Context
	query *params
	body  []byte

	scope.Stores // as who sends it sees them
	scope        *scope.Scope
}

// handler parses a request, asks a store, and encodes its result, in this order. Errors go to answerError.
type handler func(ctx context.Context, r *request) (*answer, error)

// serve has h answer requests, within the limits of the store that it needs. The body is read before that, whatever the
// method, and the answer is sent after that: a slow client uses up neither the time of the stores nor a place among the
// requests to them.
func (a *API) serve(store *limiter, h handler) echo.HandlerFunc {
	h = a.viewed(h)
	return func(c echo.Context) error {
		body, err := a.receive(c)
		if err != nil {
			return err
		}
		defer a.limits.bodies.Release(int64(len(body)))
		r := &request{Context: c, query: readParams(c), body: body}
		answer, err := store.ask(r, h)
		if err != nil {
			return err
		}
		r.nameUnknown()
		return a.send(c, answer)
	}
}

// receive reads the body of a request, which takes room until the caller gives it back.
func (a *API) receive(c echo.Context) ([]byte, error) {
	r := c.Request()
	coding := r.Header.Get(echo.HeaderContentEncoding)
	zipped := strings.EqualFold(coding, "gzip")
	switch {
	case r.ContentLength == 0:
		return nil, nil
	case r.ContentLength > maxBody:
		return nil, errTooLarge
	case coding != "" && !zipped && !strings.EqualFold(coding, "identity"):
		c.Response().Header().Set(echo.HeaderAcceptEncoding, "gzip") // RFC 9110, section 15.5.16
		return nil, &problem{status: http.StatusUnsupportedMediaType, detail: fmt.Sprintf("Unsupported content encoding \"%.100s\" in request. Send the body as it is, or in gzip.", coding)}
	}
	// It replaces the server's deadline, where there is a server.
	deadline := http.NewResponseController(c.Response())
	_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := a.read(r.Body, c.Response())
	if err != nil {
		return nil, err
	}
	_ = deadline.SetReadDeadline(time.Time{}) // else its end would look like the client's leaving
	if zipped {
		defer a.limits.bodies.Release(int64(len(body)))
		return a.decompress(body)
	}
	return body, nil
}

// read reads a body of at most maxBody bytes, which takes room. Of a longer one w, if there is one, closes the
// connection.
func (a *API) read(r io.ReadCloser, w http.ResponseWriter) ([]byte, error) {
	arriving := &metered{body: http.MaxBytesReader(w, r, maxBody), room: a.limits.bodies}
	body, err := io.ReadAll(arriving)
	if err != nil {
		a.limits.bodies.Release(arriving.bytes)
		return nil, bodyProblem(err)
	}
	return body, nil
}

// metered is a body that takes room for what was read of it.
type metered struct {
	body  io.Reader
	room  *semaphore.Weighted
	bytes int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.body.Read(p)
	if !m.room.TryAcquire(int64(n)) {
		return 0, errBusy
	}
	m.bytes += int64(n)
	return n, err
}

var (
	errTooLarge   = &problem{status: http.StatusRequestEntityTooLarge, detail: fmt.Sprintf("The request body is over %d bytes.", maxBody)}
	errUnreadable = &problem{status: http.StatusBadRequest, detail: "The request body could not be read."}
)

// bodyProblem says what is wrong with a body that could not be read.
func bodyProblem(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errBusy), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &tooLarge):
		return errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{status: http.StatusRequestTimeout, detail: "The request body did not arrive in time."}
	default:
		return errUnreadable
	}
}
