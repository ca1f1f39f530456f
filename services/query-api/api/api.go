package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/lograte"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/timeouts"
	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/credentials"
	"github.com/telltale-iot/telltale/services/query-api/dynsec"
	"github.com/telltale-iot/telltale/services/query-api/ignored"
	"github.com/telltale-iot/telltale/services/query-api/ingest"
	"github.com/telltale-iot/telltale/services/query-api/live"
	"github.com/telltale-iot/telltale/services/query-api/oidc"
	"github.com/telltale-iot/telltale/services/query-api/refused"
	"github.com/telltale-iot/telltale/services/query-api/replay"
	"github.com/telltale-iot/telltale/services/query-api/scope"
	"github.com/telltale-iot/telltale/services/query-api/system"
	"github.com/telltale-iot/telltale/services/query-api/trace"
)

// Stores are what an API answers from.
type Stores struct {
	Metadata    iot.MetadataStore
	Accounts    iot.AccessStore // in the same database
	Readings    ReadingStore
	Latest      iot.LatestCache
	DeadLetters iot.DeadLetterStore
}

// ReadingStore is what an API asks of the stored readings.
type ReadingStore = scope.Readings

// API serves HTTP. Set the fields, then call Run or Handler, once.
type API struct {
	Stores
	Auth     *access.Authenticator // says who may do what
	OIDC     *oidc.Provider        // by which people log in; nil for none
	Replayer *replay.Replayer      // of dead letters
	Ingester *ingest.Ingester      // of readings
	Rules    *mapping.Set          // for what devices publish
	Ignored  *ignored.List
	Refused  *refused.List // by all services
	Live     *live.Hub
	Bridges  *trace.Bridges // what they saw
	System   *system.System // how the services are
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	Guard    *httpguard.Guard

	Credentials *credentials.Keeper // tells bridges of them
	Mosquitto   *dynsec.Keeper      // tells it of them; nil without it

	CORS   httpguard.CORS
	TLS    *tls.Config // nil without TLS
	CAFile string      // what clients have to trust, for them to fetch; "" where they trust it already

	OfflineAfter time.Duration // of devices that have none of their own

	running  context.Context // ends with Run: what is made for several requests ends with it
	stop     context.CancelFunc
	closing  context.Context // ends when Run begins to stop: what takes long is cut off then, to be gone on with
	endLong  context.CancelFunc
	limits   limits
	scopes   *scope.Scopes
	online   flight           // of all latest readings
	stats    flight           // of the counts of all readings
	system   flight           // of what services say
	failures lograte.Limiters // lines about them, by route
	refusals lograte.Limiters // by status
}

// port names the API to its Guard.
const port = "api"

// Run answers requests that come in on l until ctx ends, then takes no more, lets the ones that are
// under way finish, and returns nil. It closes l.
func (a *API) Run(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout + bodyTimeout,
		WriteTimeout:      bodyTimeout + timeouts.CountRequest + sendTimeout, // send sets a shorter one for its part
		IdleTimeout:       2 * time.Minute,
		ConnContext:       withConnection,
		MaxHeaderBytes:    32 << 10,
		TLSConfig:         a.TLS,
		ErrorLog:          slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug), // what clients do wrong
	}
	server.RegisterOnShutdown(a.endLong)
	a.Log.Info("http api is listening", "addr", l.Addr().String(), "tls", a.TLS != nil)
	served := make(chan error, 1)
	go func() { served <- a.Guard.Serve(port, server, l) }()

	select {
	case err := <-served:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeouts.HTTPDrain)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		a.Log.Warn("requests were cut off", "after", timeouts.HTTPDrain, "err", err)
		_ = server.Close()
	}
	a.stop()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", err)
	}
	return nil
}

// Handler returns the whole API as an http.Handler, without the timeouts of a server.
func (a *API) Handler() http.Handler {
	a.running, a.stop = context.WithCancel(context.Background())
	a.closing, a.endLong = context.WithCancel(a.running)
	a.limits = newLimits()
	a.scopes = scope.New(a.Metadata)
	e := echo.New()
	e.HTTPErrorHandler = a.answerError
	e.Use(a.observe(), recoverPanic)
	a.addRoutes(e)
	return a.Guard.Shared(port, a.CORS, e)
}
