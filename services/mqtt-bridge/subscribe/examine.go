package subscribe

import (
	"context"
	"crypto/rand"
	"net"
	"net/url"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/telltale-iot/telltale/pkg/doctor"
	"github.com/telltale-iot/telltale/pkg/settings"
)

// Examine looks at the broker that c names. It logs in under a name of its own, for a session that ends at once: the session that
// messages wait in stays whose it is.
func (c Config) Examine() doctor.Check {
	return doctor.Check{Part: "MQTT_URL", Look: func(ctx context.Context) []doctor.Finding {
		broker, err := settings.ParseBroker(c.URL)
		if err != nil {
			return doctor.Fail(err.Error(), "correct MQTT_URL")
		}
		place := broker.Scheme + "://" + broker.Host
		if err := c.logIn(ctx, broker); err != nil {
			return doctor.Fail(place+": "+err.Error(), doctor.Advice(err, "MQTT_URL"))
		}
		return doctor.Fine("%s answers, and lets the bridge in", place)
	}}
}

// logIn connects to broker, and says goodbye.
func (c Config) logIn(ctx context.Context, broker *url.URL) error {
	username, password := c.Security.login(broker)
	client := paho.NewClient(paho.NewClientOptions().
		AddBroker(broker.Scheme + "://" + broker.Host).
		SetProtocolVersion(4).
		SetClientID("telltale-doctor-" + rand.Text()[:7]). // in all the 23 characters that every broker takes
		SetUsername(username).
		SetPassword(password).
		SetCleanSession(true).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetStore(noStore{}).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", broker.Host)
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() })
			if broker.Scheme != "tls" {
				return conn, nil
			}
			return c.Security.Files.Handshake(ctx, conn, broker.Host)
		}))
	defer client.Disconnect(0)
	return finish(ctx, client.Connect())
}
