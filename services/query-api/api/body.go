package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"
)

// receive reads the body of a request, all of it, before next is called and whatever the method: who is slow to
// send one uses up neither the time of the stores nor a place among the requests to them. What was wrong with
// it next finds out when it reads the body.
func (a *API) receive(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.ContentLength == 0 {
			return next(c)
		}
		// It replaces the server's deadline, where there is a server.
		deadline := http.NewResponseController(c.Response())
		_ = deadline.SetReadDeadline(time.Now().Add(bodyTimeout))
		arriving := &held{body: http.MaxBytesReader(c.Response(), r.Body, maxBody), room: a.bodies}
		defer arriving.release()
		body, err := io.ReadAll(arriving)
		if err == nil {
			_ = deadline.SetReadDeadline(time.Time{}) // else its end would look like the client's leaving
		}
		r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{bodyProblem(err)}))
		return next(c)
	}
}

// held is a body that takes room for what was read of it.
type held struct {
	body  io.Reader
	room  *semaphore.Weighted
	bytes int64
}

func (h *held) Read(p []byte) (int, error) {
	n, err := h.body.Read(p)
	if !h.room.TryAcquire(int64(n)) {
		return 0, errBusy
	}
	h.bytes += int64(n)
	return n, err
}

func (h *held) release() { h.room.Release(h.bytes) }

// failing is the end of a body: err, or io.EOF for nil.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// bodyProblem says what is wrong with a body that could not be read.
func bodyProblem(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil, errors.Is(err, errBusy):
		return err
	case errors.As(err, &tooLarge):
		return &problem{status: http.StatusRequestEntityTooLarge, detail: fmt.Sprintf("The request body is over %d bytes.", maxBody)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{status: http.StatusRequestTimeout, detail: "The request body did not arrive in time."}
	default:
		return &problem{status: http.StatusBadRequest, detail: "The request body could not be read."}
	}
}
