package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/services/query-api/web"
)

// route is one line of the API.
type route struct {
	method, path string
	store        *limiter // bounds the requests that need the same store; nil for those that need none
	handle       echo.HandlerFunc
}

// routes is everything that the API answers to. openapi.yaml lists the same paths and methods.
func (a *API) routes() []route {
	docs := echo.WrapHandler(web.Docs())
	metadata, readings, latest, letters := &a.atMetadata, &a.atReadings, &a.atLatest, &a.atDeadLetters
	return []route{
		{http.MethodGet, "/api/users/", metadata, a.listUsers},
		{http.MethodPost, "/api/users/", metadata, a.createUser},
		{http.MethodGet, "/api/users/:id/", metadata, a.getUser},
		{http.MethodPut, "/api/users/:id/", metadata, a.updateUser},
		{http.MethodPatch, "/api/users/:id/", metadata, a.updateUser},
		{http.MethodDelete, "/api/users/:id/", metadata, a.deleteUser},

		{http.MethodGet, "/api/devices/", metadata, a.listDevices},
		{http.MethodPost, "/api/devices/", metadata, a.createDevice},
		{http.MethodGet, "/api/devices/:id/", metadata, a.getDevice},
		{http.MethodPut, "/api/devices/:id/", metadata, a.updateDevice},
		{http.MethodPatch, "/api/devices/:id/", metadata, a.updateDevice},
		{http.MethodDelete, "/api/devices/:id/", metadata, a.deleteDevice},
		{http.MethodGet, "/api/devices/:id/readings/", readings, a.listDeviceReadings},
		{http.MethodGet, "/api/devices/:id/latest/", latest, a.getLatest},

		{http.MethodGet, "/api/readings/", readings, a.listReadings},
		{http.MethodGet, "/api/readings/latest_all/", latest, a.listLatest},
		{http.MethodGet, "/api/readings/stats/", readings, a.getStats},
		{http.MethodGet, "/api/latest/:id/", readings, a.getLastReading},

		{http.MethodGet, "/api/dead-letters/", letters, a.listDeadLetters},
		{http.MethodDelete, "/api/dead-letters/", letters, a.deleteDeadLetters},
		{http.MethodGet, "/api/dead-letters/stats/", letters, a.getDeadLetterStats},
		{http.MethodPost, "/api/dead-letters/replay/", letters, a.limitReplays(a.replayDeadLetters)},
		{http.MethodGet, "/api/dead-letters/:id/", letters, a.getDeadLetter},
		{http.MethodDelete, "/api/dead-letters/:id/", letters, a.deleteDeadLetter},
		{http.MethodPost, "/api/dead-letters/:id/replay/", letters, a.limitReplays(a.replayDeadLetter)},

		{http.MethodGet, "/api/openapi.json", nil, a.serveOpenAPI()},
		{http.MethodGet, "/", nil, toDocs},
		{http.MethodGet, "/api/", nil, toDocs},
		{http.MethodGet, "/api/docs/", nil, docs},
		{http.MethodGet, "/api/docs/:asset/", nil, docs},
	}
}

// addRoutes serves each route with and without a slash at its end, and HEAD wherever there is GET. Echo
// answers OPTIONS, and any other method with 405, with the header Allow.
func (a *API) addRoutes(e *echo.Echo) {
	for _, r := range a.routes() {
		path := strings.TrimSuffix(r.path, "/")
		methods := []string{r.method}
		if r.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		handle := r.handle
		if r.store != nil {
			handle = a.receive(r.store.limit(handle))
		}
		e.Match(methods, path, handle)
		e.Match(methods, path+"/", handle)
	}
}

// toDocs shows whoever opens the root in a browser where to go on.
func toDocs(c echo.Context) error { return c.Redirect(http.StatusFound, "/api/docs/") }
