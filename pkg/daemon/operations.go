package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// operationsPort names it to the Guard.
const operationsPort = "operations"

// operations is the server of the operations port.
type operations struct {
	server *http.Server
	done   chan struct{}
}

// serveOperations answers on listener until close. Once ctx has ended, /readyz says that the process is
// stopping, so that no new work is sent to it while it drains.
func serveOperations(ctx context.Context, listener net.Listener, p *Process) *operations {
	o := &operations{
		server: &http.Server{
			Handler:           p.Guard.Handler(operationsPort, operationsHandler(ctx, p)),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second, // no request has a body
			WriteTimeout:      time.Minute,      // a CPU profile takes 30 s unless asked otherwise
			IdleTimeout:       2 * time.Minute,  // longer than between two scrapes
			MaxHeaderBytes:    8 << 10,
			TLSConfig:         p.opsTLS,
			ErrorLog:          slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug), // what clients do wrong
		},
		done: make(chan struct{}),
	}
	go func() {
		defer close(o.done)
		if err := p.Guard.Serve(operationsPort, o.server, listener); !errors.Is(err, http.ErrServerClosed) {
			p.Log.Error("operations port ended", "err", err)
		}
	}()
	return o
}

func (o *operations) close() {
	_ = o.server.Close()
	<-o.done
}

func operationsHandler(ctx context.Context, p *Process) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok", Version())
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ready := p.Health.Ready() && ctx.Err() == nil
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if r.URL.Query().Has("verbose") {
			p.Health.write(w)
		}
		switch {
		case ctx.Err() != nil:
			_, _ = fmt.Fprintln(w, "stopping")
		case ready:
			_, _ = fmt.Fprintln(w, "ok")
		default:
			_, _ = fmt.Fprintln(w, "not ready")
		}
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{Registry: p.Metrics}))
	if p.pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	}
	return jsonErrors(mux)
}

// jsonErrors serves mux, and has its 404 and 405 carry JSON, as those of the API do.
func jsonErrors(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer, pattern := mux.Handler(r); pattern == "" {
			answer.ServeHTTP(&jsonError{ResponseWriter: w, method: r.Method}, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// jsonError replaces the text of net/http's answer by JSON.
type jsonError struct {
	http.ResponseWriter
	method string
}

func (e *jsonError) WriteHeader(status int) {
	detail := "Not found."
	if status == http.StatusMethodNotAllowed {
		detail = fmt.Sprintf("Method %q not allowed.", e.method)
	}
	e.Header().Set("Content-Type", "application/json")
	e.ResponseWriter.WriteHeader(status)
	_ = json.NewEncoder(e.ResponseWriter).Encode(map[string]string{"detail": detail})
}

func (e *jsonError) Write(p []byte) (int, error) { return len(p), nil } // the text
