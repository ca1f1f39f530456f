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
	handle       echo.HandlerFunc
}

// routes is everything that the API answers to. openapi.yaml lists the same paths and methods.
func (a *API) routes() []route {
	docs, dashboard, assets := echo.WrapHandler(web.Docs()), echo.WrapHandler(web.Dashboard()), echo.WrapHandler(web.Assets())
	metadata, readings, latest, deadLetters, kafka := &a.limits.metadata, &a.limits.readings, &a.limits.latest, &a.limits.deadLetters, &a.limits.kafka
	routes := []route{
		{http.MethodGet, "/api/users/", a.serve(metadata, a.listUsers)},
		{http.MethodPost, "/api/users/", a.serve(metadata, a.createUser)},
		{http.MethodGet, "/api/users/:id/", a.serve(metadata, a.getUser)},
		{http.MethodPut, "/api/users/:id/", a.serve(metadata, a.updateUser)},
		{http.MethodPatch, "/api/users/:id/", a.serve(metadata, a.updateUser)},
		{http.MethodDelete, "/api/users/:id/", a.serve(metadata, a.deleteUser)},

		{http.MethodGet, "/api/devices/", a.serve(metadata, a.listDevices)},
		{http.MethodPost, "/api/devices/", a.serve(metadata, a.createDevice)},
		{http.MethodGet, "/api/devices/:id/", a.serve(metadata, a.getDevice)},
		{http.MethodPut, "/api/devices/:id/", a.serve(metadata, a.updateDevice)},
		{http.MethodPatch, "/api/devices/:id/", a.serve(metadata, a.updateDevice)},
		{http.MethodDelete, "/api/devices/:id/", a.serve(metadata, a.deleteDevice)},
		{http.MethodGet, "/api/devices/:id/readings/", a.listOrExport(a.serve(readings, a.listDeviceReadings))},
		{http.MethodPost, "/api/devices/:id/readings/", a.serve(kafka, a.postDeviceReadings)},
		{http.MethodGet, "/api/devices/:id/series/", a.serve(&a.limits.history, a.getDeviceSeries)},
		{http.MethodGet, "/api/devices/:id/latest/", a.serve(latest, a.getLatest)},
		{http.MethodGet, "/api/devices/:id/trace/", a.serve(kafka, a.getTrace)},

		{http.MethodGet, "/api/readings/", a.listOrExport(a.serve(readings, a.listReadings))},
		{http.MethodPost, "/api/readings/", a.serve(kafka, a.postReadings)},
		{http.MethodGet, "/api/readings/export/", a.exportReadings},
		{http.MethodPost, importPath, a.importReadings},
		{http.MethodGet, "/api/readings/latest_all/", a.serve(latest, a.listLatest)},
		{http.MethodGet, "/api/readings/search/", a.serve(readings, a.searchReadings)},
		{http.MethodGet, "/api/readings/stats/", a.serve(readings, a.getStats)},
		{http.MethodGet, "/api/readings/retention/", a.serve(&a.limits.history, a.getRetention)},
		{http.MethodGet, "/api/readings/aggregations/", a.serve(&a.limits.history, a.getAggregations)},
		{http.MethodGet, "/api/latest/:id/", a.serve(readings, a.getLastReading)},

		{http.MethodGet, "/api/series/", a.serve(&a.limits.history, a.getSeries)},

		{http.MethodGet, "/api/live/", a.followLive},

		{http.MethodGet, webhookPrefix + "*", a.serve(kafka, a.getWebhook)},
		{http.MethodPost, webhookPrefix + "*", a.serve(kafka, a.postWebhook)},

		{http.MethodGet, "/api/dead-letters/", a.serve(deadLetters, a.listDeadLetters)},
		{http.MethodDelete, "/api/dead-letters/", a.serve(deadLetters, a.deleteDeadLetters)},
		{http.MethodGet, "/api/dead-letters/stats/", a.serve(deadLetters, a.getDeadLetterStats)},
		{http.MethodPost, "/api/dead-letters/replay/", a.serve(deadLetters, a.replayDeadLetters)},
		{http.MethodGet, "/api/dead-letters/:id/", a.serve(deadLetters, a.getDeadLetter)},
		{http.MethodDelete, "/api/dead-letters/:id/", a.serve(deadLetters, a.deleteDeadLetter)},
		{http.MethodPost, "/api/dead-letters/:id/replay/", a.serve(deadLetters, a.replayDeadLetter)},

		{http.MethodGet, "/api/ignored/", a.serve(kafka, a.listIgnored)},
		{http.MethodDelete, "/api/ignored/", a.serve(kafka, a.deleteIgnored)},
		{http.MethodGet, "/api/system/", a.serve(kafka, a.getSystem)},
		{http.MethodPost, "/api/mappings/test/", a.serve(&a.limits.rules, a.testMapping)},

		{http.MethodGet, prometheusPrefix + "query/", a.serve(readings, a.prometheus(a.promQuery))},
		{http.MethodPost, prometheusPrefix + "query/", a.serve(readings, a.prometheus(a.promQuery))},
		{http.MethodGet, prometheusPrefix + "query_range/", a.serve(readings, a.prometheus(a.promQueryRange))},
		{http.MethodPost, prometheusPrefix + "query_range/", a.serve(readings, a.prometheus(a.promQueryRange))},
		{http.MethodGet, prometheusPrefix + "series/", a.serve(readings, a.prometheus(a.promSeries))},
		{http.MethodPost, prometheusPrefix + "series/", a.serve(readings, a.prometheus(a.promSeries))},
		{http.MethodGet, prometheusPrefix + "labels/", a.serve(readings, a.prometheus(a.promLabels))},
		{http.MethodPost, prometheusPrefix + "labels/", a.serve(readings, a.prometheus(a.promLabels))},
		{http.MethodGet, prometheusPrefix + "label/:label/values/", a.serve(readings, a.prometheus(a.promLabelValues))},
		{http.MethodGet, prometheusPrefix + "metadata/", a.serve(readings, a.prometheus(a.promMetadata))},
		{http.MethodGet, prometheusPrefix + "status/buildinfo/", a.serve(readings, a.prometheus(a.promBuildInfo))},

		{http.MethodGet, "/api/openapi.json", a.serveYAML(openAPIYAML)},
		{http.MethodGet, "/api/asyncapi.json", a.serveYAML(asyncAPIYAML)},
		{http.MethodGet, "/api/", toDocs},
		{http.MethodGet, "/api/docs/", docs},
		{http.MethodGet, "/api/docs/:asset/", docs},

		{http.MethodGet, "/assets/:asset/", assets},
	}
	for _, page := range web.Pages {
		routes = append(routes, route{http.MethodGet, page, dashboard})
	}
	return routes
}

// addRoutes serves each route with and without a slash at its end, and HEAD wherever there is GET that changes nothing. Echo
// answers OPTIONS, and any other method with 405, with the header Allow.
func (a *API) addRoutes(e *echo.Echo) {
	for _, r := range a.routes() {
		if strings.HasSuffix(r.path, "*") { // a webhook
			e.Add(r.method, r.path, r.handle)
			continue
		}
		path := strings.TrimSuffix(r.path, "/")
		methods := []string{r.method}
		if r.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		e.Match(methods, path, r.handle)
		e.Match(methods, path+"/", r.handle)
	}
}

// toDocs sends a browser that opens the root of the API to the documentation.
func toDocs(c echo.Context) error { return c.Redirect(http.StatusFound, "/api/docs/") }
