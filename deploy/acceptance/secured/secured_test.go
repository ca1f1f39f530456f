package secured

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
	"github.com/telltale-iot/telltale/pkg/tlsfiles/tlsfilestest"
)

const (
	wrongPassword = "swordfish-Xk3"
	testTimeout   = 90 * time.Second // on a machine that does other things, too
)

// target is a server as the settings of a service name it.
type target struct {
	service  string
	url      string // variable of its address
	file     string // prefix of the variables for files
	address  string // of the server; %s is the password in it
	host     string // host:port in address
	refused  string // part of what a wrong password leads to
	bad      string // an address that cannot work
	settings map[string]string
}

func TestSecuredServers(t *testing.T) {
	if os.Getenv("TEST_SECURED") != "1" {
		t.Skip("TEST_SECURED is not 1")
	}
	bin, s := build(t), startServers(t)
	toKafka := map[string]string{
		"KAFKA_BROKERS": s.kafka, "KAFKA_TLS": "true", "KAFKA_CA_FILE": s.files.CA, "KAFKA_USERNAME": "telltale",
		"KAFKA_PASSWORD_FILE": secret(t, password), "KAFKA_PARTITIONS": "2",
	}
	targets := map[string]target{
		"mongodb": {
			service: "ingest-writer", url: "MONGODB_URI", file: "MONGODB", host: s.mongo, settings: toKafka,
			address: "mongodb://telltale:%s@" + s.mongo + "/iot?authSource=admin&tls=true",
			refused: "auth", bad: "mongodb://telltale:%s@localhost/?tls=perhaps",
		},
		"redis": {
			service: "cache-updater", url: "REDIS_URL", file: "REDIS", host: s.redis, settings: toKafka,
			address: "rediss://:%s@" + s.redis, refused: "WRONGPASS", bad: "rediss://:%s@localhost:port",
		},
	}
	stores := map[string]string{}
	for _, t1 := range targets {
		maps.Copy(stores, t1.variables(t, s, password))
	}
	for name, refused := range map[string]string{"mysql": "Access denied", "postgres": "password authentication failed"} {
		host, tls, bad := s.mysql, "tls=true", "tls=perhaps"
		if name == "postgres" {
			host, tls, bad = s.postgres, "sslmode=verify-full", "sslmode=perhaps"
		}
		targets[name] = target{
			service: "query-api", url: "DATABASE_URL", file: "DATABASE", host: host, refused: refused,
			settings: merged(toKafka, stores, map[string]string{"HTTP_ADDR": "127.0.0.1:0"}),
			address:  name + "://telltale:%s@" + host + "/iot?" + tls, bad: name + "://telltale:%s@localhost/iot?" + bad,
		}
	}

	targets["mqtt"] = target{
		service: "mqtt-bridge", url: "MQTT_URL", file: "MQTT", host: s.mqtt, settings: toKafka, refused: "not Authorized",
		address: "mqtts://telltale:%s@" + s.mqtt, bad: "mqtts://telltale:%s@localhost:port",
	}
	toMQTT := map[string]string{
		"MQTT_URL": "mqtts://telltale@" + s.mqtt, "MQTT_PASSWORD_FILE": secret(t, password),
		"MQTT_CA_FILE": s.files.CA, "MQTT_CERT_FILE": s.files.Cert, "MQTT_KEY_FILE": s.files.Key,
	}

	t.Run("a reading goes from MQTT to the API", func(t *testing.T) {
		ready(t, start(t, bin, "mqtt-bridge", merged(toKafka, toMQTT, map[string]string{"KAFKA_SASL_MECHANISM": "PLAIN"})))
		readingGoesThrough(t, bin, s, targets, merged(toKafka, stores))
	})
	t.Run("trouble", func(t *testing.T) {
		for name, target := range targets {
			t.Run(name, func(t *testing.T) { target.trouble(t, bin, name, s) })
		}
		t.Run("kafka", func(t *testing.T) {
			waits(t, bin, "ingest-writer", "kafka", merged(toKafka, stores), map[string]trouble{
				"a wrong password": {map[string]string{"KAFKA_PASSWORD_FILE": secret(t, wrongPassword)}, "SASL Authentication failed"},
				"a wrong password by PLAIN": {
					map[string]string{"KAFKA_PASSWORD_FILE": secret(t, wrongPassword), "KAFKA_SASL_MECHANISM": "PLAIN"}, "SASL Authentication failed",
				},
				"an unknown host": {map[string]string{"KAFKA_BROKERS": "nowhere.invalid:1234"}, "nowhere.invalid"},
				"an unknown CA":   {map[string]string{"KAFKA_CA_FILE": tlsfilestest.New(t).WriteCA(t, t.TempDir())}, "unknown authority"},
			})
		})
		t.Run("mqtt, with the password apart", func(t *testing.T) {
			waits(t, bin, "mqtt-bridge", "mqtt", merged(toKafka, toMQTT), map[string]trouble{
				"a wrong password": {map[string]string{"MQTT_PASSWORD_FILE": secret(t, wrongPassword)}, "not Authorized"},
				"no certificate":   {map[string]string{"MQTT_CERT_FILE": "", "MQTT_KEY_FILE": ""}, "certificate required"},
			})
		})
	})
}

// variables are the settings by which a service finds the target, the secret one in a file.
func (target target) variables(t *testing.T, s servers, password string) map[string]string {
	return map[string]string{
		target.url + "_FILE":     secret(t, fmt.Sprintf(target.address, password)),
		target.file + "_CA_FILE": s.files.CA, target.file + "_CERT_FILE": s.files.Cert, target.file + "_KEY_FILE": s.files.Key,
	}
}

// publish publishes as a device at QoS 1, and waits for the PUBACK.
func publish(t *testing.T, s servers, topic, payload string) {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(s.files.Cert, s.files.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(content(t, s.files.CA))
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("mqtts://" + s.mqtt).SetClientID("device").SetUsername("telltale").
		SetPassword(password).SetTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}}))
	defer c.Disconnect(100)
	for _, do := range []func() mqtt.Token{c.Connect, func() mqtt.Token { return c.Publish(topic, 1, false, payload) }} {
		if token := do(); !token.WaitTimeout(testTimeout) || token.Error() != nil {
			t.Fatalf("publish: %v", token.Error())
		}
	}
}

func readingGoesThrough(t *testing.T, bin string, s servers, targets map[string]target, stores map[string]string) {
	start(t, bin, "ingest-writer", stores)
	start(t, bin, "cache-updater", stores)
	for device, name := range []string{"mysql", "postgres"} {
		t.Run(name, func(t *testing.T) {
			addr := freeAddrs(t, 1)[0]
			settings := merged(targets[name].settings, targets[name].variables(t, s, password), map[string]string{"HTTP_ADDR": addr})
			api := start(t, bin, "query-api", settings)
			ready(t, api)
			publish(t, s, fmt.Sprintf("sensors/%d/data", device+1), `{"temperature": 21.5}`)
			path := fmt.Sprintf("http://%s/api/devices/%d/", addr, device+1)
			for _, path := range []string{path, path + "readings/", path + "latest/"} {
				eventually(t, testTimeout, func() string {
					if status, body := get(path); status != http.StatusOK || body == "[]\n" || body == "[]" {
						return fmt.Sprintf("%s: %d %s", path, status, body)
					}
					return ""
				})
			}
		})
	}
}

// trouble tries what is wrong with a target's address: waiting may help with all of it, but for an address
// that makes no sense.
func (target target) trouble(t *testing.T, bin, name string, s servers) {
	wrongCA := s
	wrongCA.files.CA = tlsfilestest.New(t).WriteCA(t, t.TempDir())
	elsewhere := target
	elsewhere.address = strings.Replace(target.address, target.host, "nowhere.invalid:1234", 1)
	waits(t, bin, target.service, name, target.settings, map[string]trouble{
		"a wrong password": {target.variables(t, s, wrongPassword), target.refused},
		"an unknown host":  {elsewhere.variables(t, s, password), "nowhere.invalid"},
		"an unknown CA":    {target.variables(t, wrongCA, password), "unknown authority"},
	})
	t.Run("a URL that makes no sense", func(t *testing.T) {
		t.Parallel()
		settings := merged(target.settings, map[string]string{target.url + "_FILE": secret(t, fmt.Sprintf(target.bad, password))})
		ends(t, start(t, bin, target.service, settings), target.url)
	})
	t.Run("a CA file that is missing", func(t *testing.T) {
		t.Parallel()
		settings := merged(target.settings, target.variables(t, s, password), map[string]string{target.file + "_CA_FILE": "/no/such/ca.pem"})
		ends(t, start(t, bin, target.service, settings), target.file+`_CA_FILE="/no/such/ca.pem"`)
	})
	t.Run("a secret file that is missing", func(t *testing.T) {
		t.Parallel()
		settings := merged(target.settings, map[string]string{target.url + "_FILE": "/no/such/secret"})
		ends(t, start(t, bin, target.service, settings), target.url+`_FILE="/no/such/secret"`)
	})
}

// trouble is settings with which a service waits, and part of what it says then.
type trouble struct {
	settings map[string]string
	line     string
}

// waits starts the service with settings and those of each trouble, which is with the dependency.
func waits(t *testing.T, bin, service, dependency string, settings map[string]string, troubles map[string]trouble) {
	for name, c := range troubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			notReady(t, start(t, bin, service, merged(settings, c.settings)), dependency, c.line)
		})
	}
}

func ready(t *testing.T, p *process.Process) {
	t.Helper()
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// notReady waits until p names the dependency and line, in /readyz and in the log, and checks that p goes on.
func notReady(t *testing.T, p *process.Process, dependency, line string) {
	t.Helper()
	eventually(t, testTimeout, func() string {
		status, text := readiness(p)
		failed := slices.ContainsFunc(strings.Split(text, "\n"), func(l string) bool {
			return strings.HasPrefix(l, "[-]"+dependency) && strings.Contains(l, line)
		})
		if strings.Contains(text, wrongPassword) {
			t.Error("/readyz shows a password")
		}
		if status != http.StatusServiceUnavailable || !failed || !strings.Contains(p.Log(), line) {
			return fmt.Sprintf("want %s: …%s… in\n%s", dependency, line, text)
		}
		return ""
	})
	select {
	case <-p.Ended():
		t.Errorf("it ended with %d", p.ExitCode())
	default:
	}
}

// ends checks that p ends with 2 and one line that names variable.
func ends(t *testing.T, p *process.Process, variable string) {
	t.Helper()
	select {
	case <-p.Ended():
	case <-time.After(testTimeout):
		t.Fatal("it runs")
	}
	if code, last := p.ExitCode(), p.LogEnd(1); code != 2 || !strings.Contains(last, variable) {
		t.Errorf("it ended with %d and %q, want 2 and a line with %s", code, last, variable)
	}
}

// secret writes a file as secrets are mounted.
func secret(t *testing.T, value string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func merged(all ...map[string]string) map[string]string {
	m := map[string]string{}
	for _, settings := range all {
		maps.Copy(m, settings)
	}
	return m
}
