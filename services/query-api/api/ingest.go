package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/ingest"
)

// ingested is what became of a request with readings, as clients see it.
type ingested struct {
	Detail   string     `json:"detail,omitempty"` // where nothing was accepted
	Accepted int        `json:"accepted"`
	Rejected []rejected `json:"rejected"`
}

type rejected struct {
	Index  int        `json:"index"`
	Reason iot.Reason `json:"reason"`
	Detail string     `json:"detail"`
}

// postReadings takes readings that say themselves which device they are of.
func (a *API) postReadings(ctx context.Context, r *request) (*answer, error) {
	return a.ingest(ctx, r, ingest.Message{Source: "/api/readings/"})
}

// postDeviceReadings takes readings of the device that the path names.
func (a *API) postDeviceReadings(ctx context.Context, r *request) (*answer, error) {
	device, err := r.device()
	if err != nil {
		return nil, err
	}
	name := device.Key
	if name == "" {
		name = device.ID.String()
	}
	return a.ingest(ctx, r, ingest.Message{Source: "/api/devices/" + url.PathEscape(name) + "/readings/", Device: name})
}

// ingest takes the readings in the body of r to Kafka, and answers when they are there. It is the one way in for
// everything that devices send over HTTP.
func (a *API) ingest(ctx context.Context, r *request, m ingest.Message) (*answer, error) {
	if err := checkMediaType(r.Request().Header.Get(echo.HeaderContentType)); err != nil {
		return nil, err
	}
	m.Payload, m.Client = r.body, r.client()
	result, err := a.Ingester.Ingest(ctx, m)
	if err != nil {
		return nil, err
	}
	status, shown := http.StatusAccepted, ingested{Accepted: result.Accepted, Rejected: make([]rejected, len(result.Rejected))}
	for i, rejection := range result.Rejected {
		shown.Rejected[i] = rejected{rejection.Index, rejection.Reason, rejection.Detail}
	}
	if result.Accepted == 0 && len(result.Rejected) > 0 {
		status, shown.Detail = http.StatusBadRequest, fmt.Sprintf("Nothing in it is a reading: %s, %s.", shown.Rejected[0].Reason, shown.Rejected[0].Detail)
	}
	return encodeAny(status, shown)
}

// client is what dead letters name as the client of a request: where it came from, without the port.
func (r *request) client() string {
	host, _, err := net.SplitHostPort(r.Request().RemoteAddr)
	if err != nil {
		host = r.Request().RemoteAddr
	}
	return "http:" + host
}
