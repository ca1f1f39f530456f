package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// operations is the server of the operations port.
type operations struct {
	server *http.Server
	done   chan struct{}
}

// serveOperations answers on listener until close. Once ctx has ended, /readyz says that the process is
// stopping, so that no new work is sent to it while it drains.
func serveOperations(ctx context.Context, listener net.Listener, p *Process) *operations {
	o := &operations{
		server: &http.Server{Handler: operationsHandler(ctx, p), ReadHeaderTimeout: 5 * time.Second},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(o.done)
		if err := o.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
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
		_, _ = fmt.Fprintln(w, "ok", buildVersion())
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
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	return mux
}
