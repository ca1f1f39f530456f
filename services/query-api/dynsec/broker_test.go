package dynsec

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/mapping"
	"github.com/telltale-iot/telltale/pkg/proxytest"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

const testTimeout = 60 * time.Second

// broker is a Mosquitto as docker-compose.yml starts it, in a container of the test's.
type broker struct {
	*testing.T
	name         string
	plain, tls   string // host:port
	ca           string // file
	certificates *x509.CertPool
}

func startBroker(t *testing.T) *broker {
	t.Helper()
	if os.Getenv("TEST_COMPOSE") != "1" {
		t.Skip("TEST_COMPOSE is not 1")
	}
	free, err := proxytest.FreeAddrs(2)
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{T: t, name: "telltale-dynsec-" + strconv.Itoa(os.Getpid()), plain: free[0], tls: free[1], certificates: x509.NewCertPool()}
	dir := t.TempDir()
	ca := tlsfilestest.New(t)
	cert, key := ca.Write(t, dir, "server", "localhost", "127.0.0.1")
	b.ca = ca.WriteCA(t, dir)
	pem, err := os.ReadFile(b.ca)
	if err != nil {
		t.Fatal(err)
	}
	b.certificates.AppendCertsFromPEM(pem)
	config, err := filepath.Abs("../../../deploy/mosquitto")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.docker("rm", "--force", "--volumes", b.name) })
	b.docker("run", "--detach", "--name", b.name, "--publish", b.plain+":1883", "--publish", b.tls+":8883",
		"--volume", config+":/mosquitto/config:ro", "--volume", cert+":/mosquitto/tls/tls.crt:ro", "--volume", key+":/mosquitto/tls/tls.key:ro",
		"--env", "MQTT_BRIDGE_PASSWORD=b", "--env", "MQTT_DEVICE_PASSWORD=d", "--env", "MQTT_OPERATOR_PASSWORD=o", "--env", "MQTT_DYNSEC_PASSWORD=q",
		"eclipse-mosquitto:2", "sh", "/mosquitto/config/start.sh")
	return b
}

func (b *broker) docker(args ...string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout) // also in a cleanup
	defer cancel()
	if out, err := exec.CommandContext(ctx, "docker", args...).CombinedOutput(); err != nil {
		b.Fatalf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// device connects as username, and returns nil where Mosquitto refuses that.
func (b *broker) device(username, password string) *device {
	b.Helper()
	d := &device{T: b.T, lost: make(chan struct{})}
	options := mqtt.NewClientOptions().AddBroker("tls://" + b.tls).SetClientID("of-" + username).SetUsername(username).SetPassword(password).
		SetTLSConfig(&tls.Config{RootCAs: b.certificates}).SetAutoReconnect(false).
		SetConnectionLostHandler(func(mqtt.Client, error) { close(d.lost) })
	d.client = mqtt.NewClient(options)
	token := d.client.Connect()
	if !token.WaitTimeout(testTimeout) {
		b.Fatal("no CONNACK")
	}
	if err := token.Error(); err != nil {
		if !strings.Contains(err.Error(), "not Authorized") {
			b.Fatal(err)
		}
		return nil
	}
	b.Cleanup(func() { d.client.Disconnect(0) })
	return d
}

type device struct {
	*testing.T
	client mqtt.Client
	lost   chan struct{}
}

func (d *device) publish(topics ...string) {
	d.Helper()
	for _, topic := range topics {
		if token := d.client.Publish(topic, 1, false, "1"); !token.WaitTimeout(testTimeout) || token.Error() != nil {
			d.Fatalf("%s: %v", topic, token.Error())
		}
	}
}

// subscribes reports whether it may subscribe to a filter.
func (d *device) subscribes(filter string) bool {
	d.Helper()
	token := d.client.Subscribe(filter, 1, nil).(*mqtt.SubscribeToken)
	if !token.WaitTimeout(testTimeout) {
		d.Fatal("no SUBACK")
	}
	for _, granted := range token.Result() { // paho does not call a shared one by its filter
		return granted != 0x80
	}
	return false
}

// passed returns the topics of what came through of what do published: all, as the last message of the test's own says.
func (b *broker) passed(do func()) []string {
	b.Helper()
	topics := make(chan string, 100)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + b.plain).SetClientID("operator").SetUsername("operator").SetPassword("o"))
	for _, do := range []func() mqtt.Token{c.Connect, func() mqtt.Token {
		return c.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) { topics <- m.Topic() })
	}} {
		if token := do(); !token.WaitTimeout(testTimeout) || token.Error() != nil {
			b.Fatal(token.Error())
		}
	}
	defer c.Disconnect(0)
	do()
	c.Publish("end", 1, false, "")
	var all []string
	for {
		select {
		case topic := <-topics:
			if topic == "end" {
				return all
			}
			all = append(all, topic)
		case <-time.After(testTimeout):
			b.Fatalf("after %q nothing comes", all)
		}
	}
}

// store has credentials in memory.
type store struct {
	mu  sync.Mutex
	all []iot.Credential
}

func (s *store) Credentials(_ context.Context, q iot.CredentialQuery) ([]iot.Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var page []iot.Credential
	for _, c := range s.all {
		if c.ID > q.After && len(page) < q.Limit {
			page = append(page, c)
		}
	}
	return page, nil
}

func (s *store) Device(_ context.Context, id iot.DeviceID) (iot.Device, error) {
	if id == iot.KeyID("greenhouse") {
		return iot.Device{ID: id, Key: "greenhouse"}, nil
	}
	return iot.Device{ID: id}, nil
}

func (s *store) add(c iot.Credential) iot.Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.ID, c.Type = int64(len(s.all))+1, iot.CredentialPassword
	if len(s.all) > 0 {
		c.ID = s.all[len(s.all)-1].ID + 1
	}
	s.all = append(s.all, c)
	return c
}

func (s *store) remove(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(c iot.Credential) bool { return c.ID == id })
}

// running is a Keeper as a service runs it.
type running struct {
	*Keeper
	stop func()
}

// keep starts a Keeper.
func (b *broker) keep(s *store) *running {
	b.Helper()
	rules, err := mapping.Config{}.Load()
	if err != nil {
		b.Fatal(err)
	}
	cfg := Config{URL: "tls://query-api@" + b.tls, Password: "q", Files: tlsfiles.Files{CA: b.ca}}
	k, err := New(cfg, s, rules, slog.New(slog.NewTextHandler(b.Output(), nil)), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = k.Run(ctx)
	}()
	r := &running{Keeper: k, stop: func() { cancel(); <-ended }}
	b.Cleanup(r.stop)
	return r
}

// until waits for holds.
func (b *broker) until(what string, holds func() bool) {
	b.Helper()
	for deadline := time.Now().Add(testTimeout); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("not " + what)
		}
	}
}

// compared waits until k has compared both sides, since it was connected or woken.
func (b *broker) compared(k *running, clients int) {
	b.Helper()
	b.until("compared", func() bool { return testutil.ToFloat64(k.clients) == float64(clients) })
}

func (b *broker) put(k *running, c iot.Credential, password string) iot.Credential {
	b.Helper()
	b.until("connected", func() bool { return k.current.Load() != nil })
	if err := k.Put(b.Context(), c, password); err != nil {
		b.Fatal(err)
	}
	return c
}

func (b *broker) want(got, want []string) {
	b.Helper()
	if !slices.Equal(got, want) {
		b.Errorf("%q came through, want %q", got, want)
	}
}
