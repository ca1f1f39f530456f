package httpguard

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/telltale-iot/telltale/pkg/settings"
)

const originsVariable = "CORS_ORIGINS"

// CORS is the setting of which pages of other origins may use a port.
type CORS struct {
	Origins []string `env:"CORS_ORIGINS" help:"Origins whose pages may use the HTTP API, beside its own, such as https://app.example.com, separated by commas. With * pages of all others may read, and write nothing."`
}

// anyOrigin stands for all origins.
const anyOrigin = "*"

// Validate reports the first origin that no browser sends, as a *settings.Error.
func (c CORS) Validate() error {
	for _, origin := range c.Origins {
		if err := checkOrigin(origin); err != nil {
			return &settings.Error{Variable: originsVariable, Value: origin, Err: err}
		}
	}
	return nil
}

// checkOrigin wants an origin in the form in which browsers send it, since it is compared to the letter.
func checkOrigin(origin string) error {
	const form = "must be origins as browsers send them, such as https://app.example.com or http://localhost:3000: without path, in lower case, or *"
	u, err := url.Parse(origin)
	switch {
	case origin == anyOrigin:
		return nil
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", origin != strings.ToLower(origin),
		origin != u.Scheme+"://"+u.Host, strings.Contains(origin, "*"), strings.HasSuffix(u.Host, ":"),
		strings.ContainsFunc(origin, func(r rune) bool { return r > '~' }):
		return errors.New(form)
	case u.Port() == map[string]string{"http": "80", "https": "443"}[u.Scheme]:
		return errors.New("browsers leave out the port " + u.Port() + " of " + u.Scheme)
	}
	return nil
}

// What pages of other origins may do: with which methods and headers they may ask, and which headers of an answer they see.
// Cookies are for none of them. A trailer no page sees.
var (
	readMethods    = []string{"GET, HEAD"}
	allMethods     = []string{"GET, HEAD, POST, PUT, PATCH, DELETE"}
	requestHeaders = []string{"Authorization, Content-Encoding, Content-Type, If-None-Match, Last-Event-ID, X-Request-Id"}
	answerHeaders  = []string{"Link, ETag, X-Unknown-Parameters, Location, Retry-After, Content-Disposition, X-Request-Id"}
	preflightAge   = []string{strconv.Itoa(int((10 * time.Minute).Seconds()))}
)

// Shared is Handler for a port that pages of other origins may use, as cors says.
func (g *Guard) Shared(port string, cors CORS, next http.Handler) http.Handler {
	if len(cors.Origins) == 0 {
		return g.Handler(port, next)
	}
	own := *g
	own.origins = http.NewCrossOriginProtection()
	for _, origin := range cors.Origins {
		if origin != anyOrigin {
			if err := own.origins.AddTrustedOrigin(origin); err != nil {
				panic(err) // Validate lets none through of that kind
			}
		}
	}
	return own.Handler(port, cors.handler(next))
}

// handler tells browsers what the pages of an origin may do, and answers what they ask beforehand.
func (c CORS) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, origin := w.Header(), r.Header.Get("Origin")
		h.Add("Vary", "Origin")
		listed := slices.Contains(c.Origins, origin)
		if origin == "" || !listed && !slices.Contains(c.Origins, anyOrigin) {
			next.ServeHTTP(w, r)
			return
		}
		methods := readMethods
		if listed {
			methods = allMethods
		} else {
			origin = anyOrigin
		}
		h["Access-Control-Allow-Origin"] = []string{origin}
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h["Access-Control-Allow-Methods"], h["Access-Control-Allow-Headers"] = methods, requestHeaders
			h["Access-Control-Max-Age"] = preflightAge
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h["Access-Control-Expose-Headers"] = answerHeaders
		next.ServeHTTP(w, r)
	})
}
