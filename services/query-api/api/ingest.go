package api

import (
	"cmp"
	"context"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/access"
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
	return a.takeReadings(ctx, r, "", "/api/readings/")
}

// postDeviceReadings takes readings of the device that the path names.
func (a *API) postDeviceReadings(ctx context.Context, r *request) (*answer, error) {
	device, err := a.device(ctx, r)
	if err != nil {
		return nil, err
	}
	name := cmp.Or(device.Key, device.ID.String())
	return a.takeReadings(ctx, r, name, "/api/devices/"+url.PathEscape(name)+"/readings/")
}

// takeReadings takes the readings in the body of r: in Telltale's own form, or in SenML, by the rule for that.
func (a *API) takeReadings(ctx context.Context, r *request, device, source string) (*answer, error) {
	contentType := r.Request().Header.Get(echo.HeaderContentType)
	if mediaType, _, _ := mime.ParseMediaType(contentType); mediaType == senMLJSON || mediaType == senMLCBOR {
		topic := "senml"
		if device != "" {
			topic += "/" + device
		}
		route, ok := a.Rules.Match(topic)
		if !ok {
			return nil, errNoSenML
		}
		return a.ingest(ctx, r, ingest.Message{Source: topic, Client: r.client(), Route: &route, Payload: r.body})
	}
	payload := r.body
	if isForm(contentType) {
		values, err := r.formValues()
		if err != nil {
			return nil, err
		}
		if payload, err = objectOf(values); err != nil {
			return nil, err
		}
	} else if err := checkMediaType(contentType); err != nil {
		return nil, err
	}
	return a.ingest(ctx, r, ingest.Message{Source: source, Client: r.client(), Device: device, Payload: payload})
}

// The media types of SenML (RFC 8428, section 12.3).
const (
	senMLJSON = "application/senml+json"
	senMLCBOR = "application/senml+cbor"
)

var errNoSenML = &problem{status: http.StatusUnsupportedMediaType, detail: "SenML is read by the rules of the preset senml, which MAPPINGS does not name."}

// ingest takes m to Kafka, and answers when it is there. It is the one way in for everything that devices send over
// HTTP.
func (a *API) ingest(ctx context.Context, r *request, m ingest.Message) (answered *answer, err error) {
	if m.May, err = a.mayName(ctx, r); err != nil {
		return nil, err
	}
	p := access.Of(ctx)
	m.Principal, m.Own = cmp.Or(p.Name, p.User.Username), p.Own
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
