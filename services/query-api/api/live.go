package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/live"
	"github.com/telltale-iot/telltale/services/query-api/scope"
)

const (
	// maxStreams is how many clients may follow what happens. It leaves connections for other requests, of those that a port
	// takes (httpguard.MaxConnections).
	maxStreams = 1500
	// maxYourStreams is how many of them one address may have: a proxy that many are behind, too.
	maxYourStreams = 1000
)

var (
	errManyStreams = &problem{http.StatusServiceUnavailable, "Too many clients follow what happens. Try again later.", 10}
	errYourStreams = &problem{http.StatusTooManyRequests, fmt.Sprintf("Your address follows what happens %d times, and may not do so more often. Try again later.", maxYourStreams), 10}
	errKafkaAway   = &problem{http.StatusServiceUnavailable, "Kafka is not available. Try again later.", 5}
)

// followLive answers with a stream of what happens, until the client has enough of it, or the API stops.
func (a *API) followLive(c echo.Context) error {
	r := &request{Context: c, query: readParams(c)}
	client := live.Client{From: r.query.get("last_event_id"), Network: access.Network(r.Request().RemoteAddr).String()}
	if id := r.Request().Header.Get("Last-Event-ID"); id != "" { // which a browser sends when it comes back, to the same URL
		client.From = id
	}
	if err := a.view(c.Request().Context(), r, recently()); err != nil {
		return err
	}
	client.Filter = r.query.liveFilter()
	client.Filter.Devices = r.seen(client.Filter.Devices)
	if err := r.query.err(); err != nil {
		return err
	}
	r.nameUnknown()
	s := &stream{Response: r.Response(), control: http.NewResponseController(r.Response())}
	if r.Request().Method == http.MethodHead {
		s.begin()
		return nil
	}
	body, err := a.receive(c) // net/http would wait for it before it answers
	if err != nil {
		return err
	}
	a.limits.bodies.Release(int64(len(body)))
	release, err := a.limits.streams.take(r.Request().RemoteAddr)
	if err != nil {
		return err
	}
	defer release()
	limitSendBuffer(r.Request().Context())
	_ = s.control.SetReadDeadline(time.Time{}) // else its end would look like the client's leaving

	ctx, stop := context.WithCancelCause(r.Request().Context())
	defer stop(nil)
	defer context.AfterFunc(a.closing, func() { stop(errStopping) })()
	a.watch(ctx, r, access.Viewer, (*scope.Scope).Differs, stop) // the client comes back, and is told of others
	client.Send, client.Cut = s.send, s.cut
	err = a.Live.Listen(ctx, client)
	switch {
	case s.begun: // it ends where it is: the client comes back with the place
		if errors.Is(err, live.ErrTooSlow) {
			panic(http.ErrAbortHandler) // its connection takes no more
		}
		return nil
	case errors.Is(err, live.ErrAway):
		_ = s.control.SetWriteDeadline(time.Now().Add(sendTimeout))
		return errKafkaAway
	}
	return err
}

// liveFilter reads what a client wants to be told of.
func (p *params) liveFilter() (f live.Filter) {
	f.Devices, f.Metrics = setOf(p.devices("device_id")), setOf(p.metrics("metric"))
	for name, given := range map[string]int{"device_id": len(f.Devices), "metric": len(f.Metrics)} {
		if given == 0 && len(p.every(name)) > 0 && p.errs[name] == nil {
			p.fail(name, msgBlank) // it would be told of everything
		}
	}
	return f
}

// seen returns those of devices that who sends r sees; nil is all.
func (r *request) seen(devices map[iot.DeviceID]bool) map[iot.DeviceID]bool {
	if r.scope == nil {
		return devices
	}
	seen := map[iot.DeviceID]bool{} // not nil: without a device it is none
	for _, id := range r.scope.Devices(nil) {
		if devices == nil || devices[id] {
			seen[id] = true
		}
	}
	return seen
}

// setOf returns a set of all; nil of none.
func setOf[T comparable](all []T) map[T]bool {
	if len(all) == 0 {
		return nil
	}
	set := make(map[T]bool, len(all))
	for _, one := range all {
		set[one] = true
	}
	return set
}

// stream is a stream of events on its way to a client.
type stream struct {
	*echo.Response
	control *http.ResponseController
	begun   bool
	isCut   atomic.Bool
}

// begin sends the header, as late as can be: until then an error has an answer of its own.
func (s *stream) begin() {
	s.begun = true
	header := s.Header()
	header.Set(echo.HeaderContentType, "text/event-stream")
	header.Set(echo.HeaderCacheControl, keptByNobody)
	header.Set("X-Accel-Buffering", "no") // nginx would keep events
	s.WriteHeader(http.StatusOK)
}

// send sends events. A client that does not take them in time has none of it.
func (s *stream) send(events []byte) error {
	if !s.begun {
		s.begin()
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(sendTimeout))
	if s.isCut.Load() {
		return os.ErrDeadlineExceeded
	}
	if _, err := s.Write(events); err != nil {
		return err
	}
	return s.control.Flush()
}

// cut ends a send that waits for its client, and those to come.
func (s *stream) cut() {
	s.isCut.Store(true)
	_ = s.control.SetWriteDeadline(time.Now())
}

// liveDevices has clients told of the devices in a store; usual is as for appendDevice.
func liveDevices(store iot.MetadataStore, usual time.Duration) live.Devices {
	return live.Devices{
		List:   store.Devices,
		Append: func(dst []byte, d iot.Device) []byte { return appendDevice(dst, d, time.Now(), usual) },
		Compared: func(dst []byte, d iot.Device) []byte { // all but when it was seen, which changes with each reading
			return appendSeconds(appendUpToStatus(dst, d, time.Now(), usual), cmp.Or(d.OfflineAfter, usual))
		},
	}
}
