package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/auth"
	devicecredentials "github.com/telltale-iot/telltale/pkg/credentials"
	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/services/query-api/access"
	"github.com/telltale-iot/telltale/services/query-api/dynsec"
)

// guarded is an API that asks everybody for credentials.
type guarded struct {
	stores
	api       *API
	handler   http.Handler
	refused   *refusals
	stopKafka func()
}

func newGuarded(t *testing.T) guarded {
	t.Helper()
	s := embedded(t)
	stop := s.startKafka(t)
	a := s.api(t, nil)
	table := devicecredentials.New(s.kafka, a.Log)
	refused := new(refusals)
	a.Auth = access.New(access.Settings{Mode: auth.On, Store: s.metadata, Credentials: table, Log: a.Log, Refused: refused.add})
	background(t, table.Run)
	background(t, a.Credentials.Run)
	<-table.Ready()
	return guarded{s, a, a.Handler(), refused, stop}
}

// let makes a credential with a password.
func (g guarded) let(t *testing.T, c iot.Credential) (id int64, password string) {
	t.Helper()
	password = auth.NewSecret("")
	c.Type, c.Secret = iot.CredentialPassword, auth.Hash(password)
	c, err := g.metadata.CreateCredential(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.api.Credentials.Publish(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c.ID, password
}

func (g guarded) send(method, path, user, password, body string) (status int, answer string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	w := httptest.NewRecorder()
	g.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// A device sends readings of itself with its credential, and does nothing else; also while the metadata store is away.
func TestDeviceOverHTTP(t *testing.T) {
	g := newGuarded(t)
	if _, err := g.metadata.EnsureDevices(t.Context(), []iot.Identity{{ID: 7}, {ID: 8}}, iot.Admission{}); err != nil {
		t.Fatal(err)
	}
	id, password := g.let(t, iot.Credential{Name: "7", Device: 7})
	_, looks := g.let(t, iot.Credential{Name: "wall", Viewer: true})
	const reading = `{"temperature": 21}`
	kafkatest.Eventually(t, kafkatest.Timeout, "the device gets in", func() bool {
		status, _ := g.send("POST", "/api/devices/7/readings/", "7", password, reading)
		return status == http.StatusAccepted
	})
	for _, tt := range []struct {
		name, method, path, user, password, body string
		status                                   int
		says                                     string
	}{
		{"another device's by the path", "POST", "/api/devices/8/readings/", "7", password, reading, 404, "Not found."},
		{"another device's in a batch", "POST", "/api/readings/", "7", password, `[{"device_id": 7, "x": 1}, {"device_id": 8, "x": 2}]`, 202, `{"accepted":1,"rejected":[{"index":1,"reason":"device_not_allowed"`},
		{"its own, which it does not name", "POST", "/api/readings/", "7", password, `{"x": 3}`, 202, `{"accepted":1`},
		{"another device's by a webhook", "POST", "/api/webhooks/tele/8/SENSOR", "7", password, `{"Time":"2026-03-01T12:00:00","AM2301":{"Temperature":21}}`, 400, "device_not_allowed"},
		{"to look", "GET", "/api/readings/", "7", password, "", 403, "You do not have permission to perform this action."},
		{"to make itself another", "POST", "/api/devices/7/credentials/", "7", password, `{"type": "password"}`, 403, "permission"},
		{"a file", "POST", "/api/readings/import/", "7", password, "", 403, "permission"},
		{"a wrong password", "POST", "/api/devices/7/readings/", "7", password + "x", reading, 401, "Incorrect authentication credentials."},
		{"another's password", "POST", "/api/devices/8/readings/", "8", password, reading, 401, "Incorrect authentication credentials."},
		{"no password", "POST", "/api/devices/7/readings/", "", "", reading, 401, "Authentication credentials were not provided."},
		{"a viewer", "POST", "/api/devices/7/readings/", "wall", looks, reading, 403, "permission"},
	} {
		if status, answer := g.send(tt.method, tt.path, tt.user, tt.password, tt.body); status != tt.status || !strings.Contains(answer, tt.says) {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, answer, tt.status, tt.says)
		}
	}
	for _, rec := range kafkatest.ReadAll(t, g.kafka.Brokers, g.kafka.DeadLetterTopic()) {
		if d := event.ReadDeadLetter(&rec); d.Principal != "7" || d.Reason != iot.ReasonDeviceNotAllowed {
			t.Errorf("dead letter %+v", d)
		}
	}

	second, other := g.let(t, iot.Credential{Name: "8", Device: 8})
	kafkatest.Eventually(t, kafkatest.Timeout, "the other gets in", func() bool {
		status, _ := g.send("POST", "/api/devices/8/readings/", "8", other, reading)
		return status == http.StatusAccepted
	})
	if err := g.metadata.DeleteCredential(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := g.api.Credentials.End(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	kafkatest.Eventually(t, kafkatest.Timeout, "it does not get in", func() bool {
		status, _ := g.send("POST", "/api/devices/7/readings/", "7", password, reading)
		return status == http.StatusUnauthorized
	})
	if err := g.metadata.Close(); err != nil {
		t.Fatal(err)
	}
	if status, answer := g.send("POST", "/api/readings/", "8", other, `{"device_id": 8, "x": 1}`); status != http.StatusAccepted {
		t.Errorf("the metadata store is away, and credential %d: %d %s", second, status, answer)
	}
}

// Who sends a secret as his user name shows it to nobody.
func TestSecretAsUserName(t *testing.T) {
	g := newGuarded(t)
	for _, secret := range []string{auth.NewSecret(auth.TokenPrefix), auth.NewSecret("")} {
		if status, _ := g.send("POST", "/api/readings/", secret, "", `{"x": 1}`); status != http.StatusUnauthorized {
			t.Errorf("answered %d", status)
		}
		if told := fmt.Sprint(g.refused.all()); !strings.Contains(told, "unknown_credential") || strings.Contains(told, secret[:12]) {
			t.Errorf("told %s", told)
		}
	}
}

// With a device, or its user, its credentials are gone. While Kafka is away who asked for it is told that they still let in.
func TestEndWithOwner(t *testing.T) {
	g := newGuarded(t)
	admin, err := g.metadata.CreateAccount(t.Context(), iot.User{Username: "root"}, iot.Account{Role: iot.RoleAdmin})
	if err != nil {
		t.Fatal(err)
	}
	secret := auth.NewSecret(auth.TokenPrefix)
	if _, err := g.metadata.CreateToken(t.Context(), iot.Token{User: admin.ID, Role: iot.RoleAdmin}, auth.Hash(secret)); err != nil {
		t.Fatal(err)
	}
	remove := func(path string) (status int, answer string) {
		r := httptest.NewRequest("DELETE", path, nil)
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		g.handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	owner := func(devices ...iot.DeviceID) (path string) {
		u, err := g.metadata.CreateUser(t.Context(), iot.User{Username: "owner of " + devices[0].String()})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range devices {
			if _, err := g.metadata.CreateDevice(t.Context(), iot.Device{ID: id, Name: "x", Owner: u.ID}); err != nil {
				t.Fatal(err)
			}
			g.let(t, iot.Credential{Name: id.String(), Device: id})
		}
		return fmt.Sprintf("/api/users/%d/", u.ID)
	}
	first, second := owner(1, 2), owner(3, 4)
	for i, path := range []string{"/api/devices/2/", first} {
		if status, answer := remove(path); status != http.StatusNoContent {
			t.Errorf("%s: %d %s", path, status, answer)
		}
		ended := 0
		for _, rec := range kafkatest.ReadAll(t, g.kafka.Brokers, g.kafka.CredentialsTopic()) {
			if rec.Value == nil {
				ended++
			}
		}
		if ended != i+1 { // when it is answered, not when the topic is next compared
			t.Errorf("%s: %d credentials are ended", path, ended)
		}
	}
	g.stopKafka()
	for _, path := range []string{"/api/devices/4/", second} {
		if status, answer := remove(path); status != http.StatusAccepted || !strings.Contains(answer, "Kafka is not available") {
			t.Errorf("%s with kafka away: %d %s", path, status, answer)
		}
	}
}

// A device that shows a provisioning key gets a password of its own, once, for as many devices as the key is.
func TestEnroll(t *testing.T) {
	g := newGuarded(t)
	secret := auth.NewSecret(auth.ProvisioningPrefix)
	key := iot.ProvisioningKey{Name: "batch", Uses: 2, Devices: []iot.DeviceID{7, 8, 9}}
	if _, err := g.metadata.CreateProvisioningKey(t.Context(), key, auth.Hash(secret)); err != nil {
		t.Fatal(err)
	}
	enroll := func(device, secret string) (status int, answer string) {
		r := httptest.NewRequest("POST", "/api/enroll/", strings.NewReader(`{"device": `+device+`}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		g.handler.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	status, answer := enroll("7", secret)
	var made struct{ Username, Password string }
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != http.StatusCreated || made.Username != "7" {
		t.Fatalf("%d %s, %v", status, answer, err)
	}
	kafkatest.Eventually(t, kafkatest.Timeout, "the device gets in", func() bool {
		status, _ := g.send("POST", "/api/readings/", made.Username, made.Password, `{"device_id": 7, "x": 1}`)
		return status == http.StatusAccepted
	})
	for _, tt := range []struct {
		name, device, secret string
		status               int
		says                 string
	}{
		{"a second time", "7", secret, 409, "This device has a credential"},
		{"a device that it is not for", "10", secret, 401, "Invalid token."},
		{"another key", "8", auth.NewSecret(auth.ProvisioningPrefix), 401, "Invalid token."},
		{"a device's last use", "8", secret, 201, `"username":"8"`},
		{"no use left", "9", secret, 401, "Invalid token."},
	} {
		if status, answer := enroll(tt.device, tt.secret); status != tt.status || !strings.Contains(answer, tt.says) {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, answer, tt.status, tt.says)
		}
	}
	if d, err := g.metadata.Device(t.Context(), 8); err != nil || d.ID != 8 {
		t.Errorf("%+v, %v", d, err)
	}

	secret = auth.NewSecret(auth.ProvisioningPrefix) // while Mosquitto is away a key loses no use
	if _, err := g.metadata.CreateProvisioningKey(t.Context(), iot.ProvisioningKey{Uses: 1}, auth.Hash(secret)); err != nil {
		t.Fatal(err)
	}
	mosquitto, err := dynsec.New(dynsec.Config{URL: "tcp://telltale:secret@127.0.0.1:1"}, g.metadata, nil, g.api.Log, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	g.api.Mosquitto = mosquitto
	if status, answer := enroll("9", secret); status != http.StatusServiceUnavailable {
		t.Errorf("mosquitto is away: %d %s", status, answer)
	}
	g.api.Mosquitto = nil
	if status, answer := enroll("9", secret); status != http.StatusCreated {
		t.Errorf("the use that was not made: %d %s", status, answer)
	}
}
