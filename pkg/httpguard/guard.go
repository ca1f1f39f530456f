package httpguard

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/telltale-iot/telltale/pkg/lograte"
	"github.com/telltale-iot/telltale/pkg/ownca"
)

// Why something is refused, as the counter says.
const (
	reasonHost        = "host"
	reasonOrigin      = "origin"
	reasonConnections = "connections"
	reasonNoTLS       = "no_tls"
)

// Headers of every answer. What needs more than nothing, as a page with scripts of its own, sets its own
// Content-Security-Policy, which has to forbid framing too.
var (
	policy   = []string{"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
	deny     = []string{"DENY"}
	nosniff  = []string{"nosniff"}
	referrer = []string{"same-origin"}
)

// Guard stands before the HTTP ports of a process.
type Guard struct {
	hosts   map[string]bool
	origins *http.CrossOriginProtection
	log     *slog.Logger
	refused *prometheus.CounterVec
}

// New returns a Guard that lets through what cfg allows. The names of this machine are allowed, too: its own certificate is
// for them, and no page of somebody else's has them.
func New(cfg Config, log *slog.Logger, metrics prometheus.Registerer) *Guard {
	g := &Guard{
		hosts:   map[string]bool{"localhost": true},
		origins: http.NewCrossOriginProtection(),
		log:     log,
		refused: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_http_refused_total",
			Help: "HTTP requests and connections refused, by port (api, operations, mqtt-websocket) and reason (host, origin, connections, no_tls).",
		}, []string{"port", "reason"}),
	}
	for _, host := range slices.Concat(ownca.MachineNames(), cfg.AllowedHosts) {
		g.hosts[canonical(host)] = true
	}
	return g
}

// Handler answers, on the port of that name, what is allowed with next.
func (g *Guard) Handler(port string, next http.Handler) http.Handler {
	foreignHost, foreignOrigin := g.refusals(port, reasonHost), g.refusals(port, reasonOrigin)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Security-Policy"], h["X-Frame-Options"], h["X-Content-Type-Options"], h["Referrer-Policy"] = policy, deny, nosniff, referrer
		switch {
		case !g.knows(r.Host):
			foreignHost.add("host", r.Host, "remote", r.RemoteAddr)
			refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("Host %.100q is not served here. %s names the hosts that are.", r.Host, hostsVariable))
		case g.origins.Check(r) != nil:
			foreignOrigin.add("origin", r.Header.Get("Origin"), "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr)
			refuse(w, http.StatusForbidden, "Pages of another origin may not do this.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// MayBePage reports whether r may be sent by a browser on behalf of a page of another origin. It is for what changes
// something by GET, which Handler lets through: a page can have it sent by showing it as a picture, and a browser does
// not say so of every such request, but says on each which languages its user reads.
func MayBePage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return false
	case "":
		return r.Header.Get("Accept-Language") != "" || r.Header.Get("Referer") != "" || r.Header.Get("Origin") != ""
	}
	return true
}

// refusals counts and logs what is refused on a port for a reason.
type refusals struct {
	counter prometheus.Counter
	log     *slog.Logger
	lines   lograte.Limiter
}

func (g *Guard) refusals(port, reason string) *refusals {
	return &refusals{
		counter: g.refused.WithLabelValues(port, reason), log: g.log.With("port", port, "reason", reason),
	}
}

func (r *refusals) add(args ...any) {
	r.counter.Inc()
	if n := r.lines.Event(); n > 0 {
		r.log.Warn("http request refused", append(args, "count", n)...)
	}
}

// knows reports whether hostport is no name that a foreign page can have for this server.
func (g *Guard) knows(hostport string) bool {
	host := (&url.URL{Host: hostport}).Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return g.hosts[canonical(host)]
}

// canonical is host as every spelling of it: names have no case, and may end with a dot.
func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Connection", "close") // or the rest of the request would be waited for before the answer
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"detail": detail})
}
