package access

import (
	"net/http"
	"slices"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
)

// byCredential returns the device, or the gateway, that sends r, by HTTP Basic. Nobody is asked for that: what is known of
// credentials holds while the metadata store and Kafka are away.
func (a *Authenticator) byCredential(r *http.Request, address string) (*Principal, error) {
	name, password, ok := r.BasicAuth()
	if !ok || a.Credentials == nil {
		return nil, &Denial{Status: http.StatusUnauthorized, Why: "unknown_credential", Detail: errWrongPassword.Detail}
	}
	found, ok := a.Credentials.Password(name, password)
	if !ok {
		if err := a.Credentials.Check(r.Context()); err != nil {
			return nil, err // it may be right
		}
		return nil, &Denial{Status: http.StatusUnauthorized, Why: "unknown_credential", Detail: errWrongPassword.Detail, Name: auth.MaskedName(name)}
	}
	p := &Principal{Kind: Device, Name: found.Name, Devices: slices.Concat([]iot.DeviceID{}, found.Devices()), Address: address}
	p.Own, _ = found.Device()
	if found.Viewer { // it looks on over MQTT
		return nil, forbidden(p)
	}
	return p, nil
}
