package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/telltale-iot/telltale/pkg/httpguard"
	"github.com/telltale-iot/telltale/services/query-api/ingest"
)

const (
	webhookPrefix = "/api/webhooks/"

	msgText = "Not valid text."
)

var errPage = &problem{status: http.StatusForbidden, detail: "A browser may not do this with GET, since any page could have it do so. Use POST."}

// postWebhook takes what a service sends that knows nothing of Telltale, as if it had been published over MQTT to the
// topic that stands behind /api/webhooks/: the rule for that says what the body has to be.
func (a *API) postWebhook(ctx context.Context, r *request) (*answer, error) {
	topic := r.webhookTopic()
	if event := r.query.get("event"); event != "" { // ChirpStack has one address for all that happens, and puts there what it is
		topic += "/event/" + event
	}
	return a.takeWebhook(ctx, r, topic, r.body)
}

// getWebhook takes the values in the query of a request, from devices that can do no more: as the JSON object that
// another device would send.
func (a *API) getWebhook(ctx context.Context, r *request) (*answer, error) {
	if httpguard.MayBePage(r.Request()) {
		return nil, errPage
	}
	object, err := r.query.object()
	if err != nil {
		return nil, err
	}
	return a.takeWebhook(ctx, r, r.webhookTopic(), object)
}

func (a *API) takeWebhook(ctx context.Context, r *request, topic string, payload []byte) (*answer, error) {
	m := ingest.Message{Source: topic, Client: r.client(), Payload: payload}
	route, ok := a.Rules.Match(topic)
	switch {
	case topic == "" || !utf8.ValidString(topic) || strings.ContainsRune(topic, 0):
		return nil, errNotFound
	case !ok:
		a.Ingester.Ignore(m)
		detail := fmt.Sprintf("No rule of MAPPINGS is for %.100q.", topic)
		if hint := a.Rules.Hint(topic); hint != "" {
			detail += " Hint: " + hint
		}
		return nil, &problem{status: http.StatusNotFound, detail: detail}
	}
	m.Route = &route
	return a.ingest(ctx, r, m)
}

// webhookTopic is what stands behind the path of webhooks.
func (r *request) webhookTopic() string {
	return strings.TrimSuffix(strings.TrimPrefix(r.Request().URL.Path, webhookPrefix), "/")
}

// object returns the parameters as a JSON object.
func (p *params) object() ([]byte, error) {
	values := make(map[string]string, len(p.pairs))
	for _, q := range p.pairs {
		p.asked = append(p.asked, q.name)
		if !utf8.ValidString(q.name) || !utf8.ValidString(q.value) {
			p.fail(strings.ToValidUTF8(q.name, "\uFFFD"), msgText)
		}
		values[q.name] = q.value
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return objectOf(values)
}

// objectOf returns texts as a JSON object: what is written as a JSON number is one, and what is empty is not there.
func objectOf(values map[string]string) ([]byte, error) {
	members := make(map[string]any, len(values))
	for name, value := range values {
		switch {
		case isNumber(value):
			members[name] = json.RawMessage(value)
		case value != "":
			members[name] = value
		}
	}
	return marshal(members)
}

func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || '0' <= s[0] && s[0] <= '9') && json.Valid([]byte(s))
}
