package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/oidc"
	"github.com/telltale-iot/telltale/services/query-api/web"
)

// route is one line of the API.
type route struct {
	method, path string
	need         access.Need // of who asks for it
	reach        reach       // of who sees some devices alone
	handle       echo.HandlerFunc
}

// routes is everything that the API answers to. openapi.yaml lists the same paths and methods.
func (a *API) routes() []route {
	docs, dashboard, assets := echo.WrapHandler(web.Docs()), echo.WrapHandler(web.Dashboard()), echo.WrapHandler(web.Assets())
	metadata, readings, latest, deadLetters, kafka := &a.limits.metadata, &a.limits.readings, &a.limits.latest, &a.limits.deadLetters, &a.limits.kafka
	routes := []route{
		{http.MethodGet, "/api/login/", access.Public, noDevices, a.serve(metadata, a.getLogin)},
		{http.MethodPost, "/api/login/", access.Public, noDevices, a.serve(metadata, a.logIn)},
		{http.MethodPost, "/api/logout/", access.Public, noDevices, a.serve(metadata, a.logOut)},
		{http.MethodGet, caPath, access.Public, noDevices, a.getCA},
		{http.MethodGet, "/api/me/", access.User, noDevices, a.serve(metadata, a.getMe)},
		{http.MethodPut, "/api/me/password/", access.User, noDevices, a.serve(metadata, a.changePassword)},
		{http.MethodGet, "/api/tokens/", access.User, noDevices, a.serve(metadata, a.listTokens)},
		{http.MethodPost, "/api/tokens/", access.User, noDevices, a.serve(metadata, a.createToken)},
		{http.MethodGet, "/api/tokens/:id/", access.User, noDevices, a.serve(metadata, a.getToken)},
		{http.MethodDelete, "/api/tokens/:id/", access.User, noDevices, a.serve(metadata, a.deleteToken)},

		{http.MethodGet, "/api/users/", access.Viewer, byDevice, a.serve(metadata, a.listUsers)},
		{http.MethodPost, "/api/users/", access.Admin, whole, a.serve(metadata, a.createUser)},
		{http.MethodGet, "/api/users/:id/", access.Viewer, byDevice, a.serve(metadata, a.getUser)},
		{http.MethodPut, "/api/users/:id/", access.Admin, whole, a.serve(metadata, a.updateUser)},
		{http.MethodPatch, "/api/users/:id/", access.Admin, whole, a.serve(metadata, a.updateUser)},
		{http.MethodDelete, "/api/users/:id/", access.Admin, whole, a.serve(metadata, a.deleteUser)},

		{http.MethodGet, "/api/devices/", access.Viewer, byDevice, a.serve(metadata, a.listDevices)},
		{http.MethodPost, "/api/devices/", access.Operator, byDevice, a.serve(metadata, a.createDevice)},
		{http.MethodGet, "/api/devices/:id/", access.Viewer, byDevice, a.serve(metadata, a.getDevice)},
		{http.MethodPut, "/api/devices/:id/", access.Operator, byDevice, a.serve(metadata, a.updateDevice)},
		{http.MethodPatch, "/api/devices/:id/", access.Operator, byDevice, a.serve(metadata, a.updateDevice)},
		{http.MethodDelete, "/api/devices/:id/", access.Operator, byDevice, a.serve(metadata, a.deleteDevice)},
		{http.MethodGet, "/api/devices/:id/readings/", access.Viewer, byDevice, a.listOrExport(a.serve(readings, a.listDeviceReadings))},
		{http.MethodPost, "/api/devices/:id/readings/", access.Ingest, byDevice, a.serve(kafka, a.postDeviceReadings)},
		{http.MethodGet, "/api/devices/:id/series/", access.Viewer, byDevice, a.serve(&a.limits.history, a.getDeviceSeries)},
		{http.MethodGet, "/api/devices/:id/latest/", access.Viewer, byDevice, a.serve(latest, a.getLatest)},
		{http.MethodGet, "/api/devices/:id/trace/", access.Viewer, byDevice, a.serve(kafka, a.getTrace)},
		{http.MethodGet, "/api/devices/:id/credentials/", access.Operator, byDevice, a.serve(metadata, a.listDeviceCredentials)},
		{http.MethodPost, "/api/devices/:id/credentials/", access.Operator, byDevice, a.serve(metadata, a.createDeviceCredential)},
		{http.MethodDelete, "/api/devices/:id/credentials/:cid/", access.Operator, byDevice, a.serve(metadata, a.deleteDeviceCredential)},

		{http.MethodGet, "/api/credentials/", access.Operator, whole, a.serve(metadata, a.listCredentials)},
		{http.MethodPost, "/api/credentials/", access.Operator, whole, a.serve(metadata, a.createCredential)},
		{http.MethodDelete, "/api/credentials/:cid/", access.Operator, whole, a.serve(metadata, a.deleteCredential)},
		{http.MethodGet, "/api/provisioning-keys/", access.Admin, whole, a.serve(metadata, a.listProvisioningKeys)},
		{http.MethodPost, "/api/provisioning-keys/", access.Admin, whole, a.serve(metadata, a.createProvisioningKey)},
		{http.MethodDelete, "/api/provisioning-keys/:kid/", access.Admin, whole, a.serve(metadata, a.deleteProvisioningKey)},
		{http.MethodPost, "/api/enroll/", access.Public, noDevices, a.serve(metadata, a.enroll)},

		{http.MethodGet, "/api/readings/", access.Viewer, byDevice, a.listOrExport(a.serve(readings, a.listReadings))},
		{http.MethodPost, "/api/readings/", access.Ingest, byDevice, a.serve(kafka, a.postReadings)},
		{http.MethodGet, "/api/readings/export/", access.Viewer, byDevice, a.exportReadings},
		{http.MethodPost, importPath, access.Operator, byDevice, a.importReadings},
		{http.MethodGet, "/api/readings/latest_all/", access.Viewer, byDevice, a.serve(latest, a.listLatest)},
		{http.MethodGet, "/api/readings/search/", access.Viewer, byDevice, a.serve(readings, a.searchReadings)},
		{http.MethodGet, "/api/readings/stats/", access.Viewer, byDevice, a.serve(readings, a.getStats)},
		{http.MethodGet, "/api/readings/retention/", access.Viewer, whole, a.serve(&a.limits.history, a.getRetention)},
		{http.MethodGet, "/api/readings/aggregations/", access.Viewer, byDevice, a.serve(&a.limits.history, a.getAggregations)},
		{http.MethodGet, "/api/latest/:id/", access.Viewer, byDevice, a.serve(readings, a.getLastReading)},

		{http.MethodGet, "/api/series/", access.Viewer, byDevice, a.serve(&a.limits.history, a.getSeries)},

		{http.MethodGet, "/api/live/", access.Viewer, byDevice, a.followLive},

		{http.MethodGet, webhookPrefix + "*", access.Ingest, byDevice, a.serve(kafka, a.getWebhook)},
		{http.MethodPost, webhookPrefix + "*", access.Ingest, byDevice, a.serve(kafka, a.postWebhook)},

		{http.MethodGet, "/api/dead-letters/", access.Viewer, byDevice, a.serve(deadLetters, a.listDeadLetters)},
		{http.MethodDelete, "/api/dead-letters/", access.Operator, byDevice, a.serve(deadLetters, a.deleteDeadLetters)},
		{http.MethodGet, "/api/dead-letters/stats/", access.Viewer, byDevice, a.serve(deadLetters, a.getDeadLetterStats)},
		{http.MethodPost, "/api/dead-letters/replay/", access.Operator, byDevice, a.serve(deadLetters, a.replayDeadLetters)},
		{http.MethodGet, "/api/dead-letters/:id/", access.Viewer, byDevice, a.serve(deadLetters, a.getDeadLetter)},
		{http.MethodDelete, "/api/dead-letters/:id/", access.Operator, byDevice, a.serve(deadLetters, a.deleteDeadLetter)},
		{http.MethodPost, "/api/dead-letters/:id/replay/", access.Operator, byDevice, a.serve(deadLetters, a.replayDeadLetter)},

		{http.MethodGet, "/api/ignored/", access.Viewer, whole, a.serve(kafka, a.listIgnored)},
		{http.MethodDelete, "/api/ignored/", access.Operator, whole, a.serve(kafka, a.deleteIgnored)},
		{http.MethodGet, "/api/auth/refused/", access.Operator, whole, a.serve(kafka, a.listRefused(true))},
		{http.MethodDelete, "/api/auth/refused/", access.Operator, whole, a.serve(kafka, a.forgetRefused(true))},
		{http.MethodGet, "/api/auth/would-deny/", access.Operator, whole, a.serve(kafka, a.listRefused(false))},
		{http.MethodDelete, "/api/auth/would-deny/", access.Operator, whole, a.serve(kafka, a.forgetRefused(false))},
		{http.MethodGet, "/api/audit/", access.Admin, whole, a.getAudit},
		{http.MethodGet, "/api/system/", access.Viewer, whole, a.serve(kafka, a.getSystem)},
		{http.MethodPost, "/api/mappings/test/", access.Viewer, noDevices, a.serve(&a.limits.rules, a.testMapping)},

		{http.MethodGet, prometheusPrefix + "query/", access.Viewer, byDevice, a.serve(readings, a.prometheus(a.promQuery))},
		{http.MethodPost, prometheusPrefix + "query/", access.Viewer, byDevice, a.serve(readings, a.prometheus(a.promQuery))},
		{http.MethodGet, prometheusPrefix + "query_range/", access.Viewer, byDevice, a.serve(readings, a.prometheus(a.promQueryRange))},
		{http.MethodPost, prometheusPrefix + "query_range/", access.Viewer, byDevice, a.serve(readings, a.prometheus(a.promQueryRange))},
		{http.MethodGet, prometheusPrefix + "series/", access.Viewer, byDevice, a.serve(readings, a.prometheus(a.promSeries))},
		{http.MethodPost, prometheusPrefix + "series/", access.Viewer, byDevice, a.serve(readings, a.prometheus(a.promSeries))},
		{http.MethodGet, prometheusPrefix + "labels/", access.Viewer, noDevices, a.serve(readings, a.prometheus(a.promLabels))},
		{http.MethodPost, prometheusPrefix + "labels/", access.Viewer, noDevices, a.serve(readings, a.prometheus(a.promLabels))},
		{http.MethodGet, prometheusPrefix + "label/:label/values/", access.Viewer, byDevice, a.serve(readings, a.prometheus(a.promLabelValues))},
		{http.MethodGet, prometheusPrefix + "metadata/", access.Viewer, byDevice, a.serve(readings, a.prometheus(a.promMetadata))},
		{http.MethodGet, prometheusPrefix + "status/buildinfo/", access.Viewer, noDevices, a.serve(readings, a.prometheus(a.promBuildInfo))},

		{http.MethodGet, "/api/login/oidc/", access.Public, noDevices, a.beginOIDC},
		{http.MethodGet, oidc.CallbackPath, access.Public, noDevices, a.finishOIDC},

		{http.MethodGet, "/api/openapi.json", access.Public, noDevices, a.serveYAML(openAPIYAML)},
		{http.MethodGet, "/api/asyncapi.json", access.Public, noDevices, a.serveYAML(asyncAPIYAML)},
		{http.MethodGet, "/api/", access.Public, noDevices, toDocs},
		{http.MethodGet, "/api/docs/", access.Public, noDevices, docs},
		{http.MethodGet, "/api/docs/:asset/", access.Public, noDevices, docs},

		{http.MethodGet, "/assets/:asset/", access.Public, noDevices, assets},
	}
	for _, page := range web.Pages {
		routes = append(routes, route{http.MethodGet, page, access.Public, noDevices, dashboard})
	}
	return routes
}

// addRoutes serves each route with and without a slash at its end, and HEAD wherever there is GET that changes nothing. Echo
// answers OPTIONS, and any other method with 405, with the header Allow, whoever asks: openapi.json says as much.
func (a *API) addRoutes(e *echo.Echo) {
	for _, r := range a.routes() {
		handle := a.admit(r.need, r.reach.limit(r.handle))
		if strings.HasSuffix(r.path, "*") { // a webhook
			e.Add(r.method, r.path, handle)
			continue
		}
		path := strings.TrimSuffix(r.path, "/")
		methods := []string{r.method}
		if r.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		e.Match(methods, path, handle)
		e.Match(methods, path+"/", handle)
	}
}

// toDocs sends a browser that opens the root of the API to the documentation.
func toDocs(c echo.Context) error { return c.Redirect(http.StatusFound, "/api/docs/") }
