package api

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const requestIDHeader = "X-Request-Id"

// observe numbers each request, answers its error if it has one, and counts and times it.
func (a *API) observe() echo.MiddlewareFunc {
	requests := promauto.With(a.Metrics).NewCounterVec(prometheus.CounterOpts{
		Name: "telltale_http_requests_total",
		Help: "HTTP requests answered, by route, method and status code.",
	}, []string{"route", "method", "code"})
	duration := promauto.With(a.Metrics).NewHistogramVec(prometheus.HistogramOpts{
		Name:    "telltale_http_request_duration_seconds",
		Help:    "Time from the headers of an HTTP request to the end of its answer, by route.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"route"})
	inFlight := promauto.With(a.Metrics).NewGauge(prometheus.GaugeOpts{
		Name: "telltale_http_requests_in_flight",
		Help: "HTTP requests being answered.",
	})

	// Ids of one process: a random part that others do not have, and a number.
	process := rand.Text()[:8] + "-"
	var number atomic.Uint64

	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := time.Now()
			inFlight.Inc()
			defer inFlight.Dec()
			r, header := c.Request(), c.Response().Header()
			id := r.Header.Get(requestIDHeader)
			if !validRequestID(id) {
				id = process + strconv.FormatUint(number.Add(1), 36)
			}
			header[requestIDHeader] = []string{id}

			defer func() { // also when a file is cut off, which is a panic
				took, status, route := time.Since(start), c.Response().Status, routeLabel(c)
				requests.WithLabelValues(route, methodLabel(r.Method), strconv.Itoa(status)).Inc()
				duration.WithLabelValues(route).Observe(took.Seconds())
				if a.Log.Enabled(r.Context(), slog.LevelDebug) {
					a.Log.Debug("request answered", "request_id", id, "method", r.Method, "path", r.URL.Path,
						"status", status, "bytes", c.Response().Size, "took", took, "remote", r.RemoteAddr)
				}
			}()
			if err := next(c); err != nil {
				c.Error(err)
			}
			return nil
		}
	}
}

// validRequestID reports whether a proxy's id can be taken over: into a header and the log.
func validRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// routeLabel is the pattern of the route, always with the slash at its end: one of a few values.
func routeLabel(c echo.Context) string {
	route := c.Path()
	if route == "" {
		return "unmatched"
	}
	if !strings.HasSuffix(route, "/") {
		route += "/"
	}
	return route
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
