package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

const (
	msgBase64    = "Not valid base64."
	msgOnePlease = "Give payload or payload_base64, not both."
)

// testMapping answers what a message becomes by the rules of the API, or by the one in the request. Nothing of it is
// kept, and nothing sent.
func (a *API) testMapping(ctx context.Context, r *request) (*answer, error) {
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	topic, payload, rule := f.text("topic", iot.MaxTopic), f.message(), f.payload("rule")
	if payload == nil && f.errs["payload"] == nil && f.errs["payload_base64"] == nil {
		f.fail("payload", msgRequired)
	}
	if f.errs != nil {
		return nil, f.errs
	}
	release, err := take(ctx, a.limits.mappingTests, 1)
	if err != nil {
		return nil, err
	}
	defer release()
	rules := a.Rules
	if rule != nil {
		if rules, err = a.Rules.ParseRule(rule); err != nil {
			return nil, fieldErrors{"rule": {err.Error()}}
		}
	}
	return encodeAny(http.StatusOK, rules.Explain(*topic, mapping.Message{Payload: payload, Received: time.Now().UTC().Truncate(time.Millisecond)}))
}

// message reads what a device might send: bytes in base64, or what payload reads. nil: none was given, or it is wrong.
func (f *form) message() []byte {
	encoded, isEncoded := f.members["payload_base64"]
	_, isText := f.members["payload"]
	switch {
	case isEncoded && isText:
		f.fail("payload_base64", msgOnePlease)
		return nil
	case !isEncoded:
		return f.payload("payload")
	}
	var text string
	var b []byte
	err := json.Unmarshal(encoded, &text)
	if err == nil {
		b, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil {
		f.fail("payload_base64", msgBase64)
	}
	return b
}
