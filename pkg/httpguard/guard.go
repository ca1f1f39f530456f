package httpguard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Why something is refused, as the counter says.
const (
	reasonHost        = "host"
	reasonOrigin      = "origin"
	reasonConnections = "connections"
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
	refused *prometheus.CounterVec
}

// New returns a Guard that lets through what cfg allows.
func New(cfg Config, metrics prometheus.Registerer) *Guard {
	g := &Guard{
		hosts:   map[string]bool{"localhost": true},
		origins: http.NewCrossOriginProtection(),
		refused: promauto.With(metrics).NewCounterVec(prometheus.CounterOpts{
			Name: "telltale_http_refused_total",
			Help: "HTTP requests and connections refused, by port (api, operations) and reason (host, origin, connections).",
		}, []string{"port", "reason"}),
	}
	for _, host := range cfg.AllowedHosts {
		g.hosts[canonical(host)] = true
	}
	return g
}

// Handler answers, on the port of that name, what is allowed with next.
func (g *Guard) Handler(port string, next http.Handler) http.Handler {
	foreignHost, foreignOrigin := g.refused.WithLabelValues(port, reasonHost), g.refused.WithLabelValues(port, reasonOrigin)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Security-Policy"], h["X-Frame-Options"], h["X-Content-Type-Options"], h["Referrer-Policy"] = policy, deny, nosniff, referrer
		switch {
		case !g.knows(r.Host):
			foreignHost.Inc()
			refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("Host %.100q is not served here. %s names the hosts that are.", r.Host, hostsVariable))
		case g.origins.Check(r) != nil:
			foreignOrigin.Inc()
			refuse(w, http.StatusForbidden, "Pages of another origin may not do this.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// knows reports whether a request for hostport can be no page's that has another's address for its own.
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
