package bridge_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/telltale-iot/telltale/services/mqtt-bridge/bridge"
)

// mosquitto returns the settings of a bridge that subscribes to the real broker, on topics of the test's
// own. Its session is removed when the test has ended.
func mosquitto(t *testing.T, replica int, root string) bridge.Config {
	t.Helper()
	url := os.Getenv("TEST_MQTT_URL")
	if url == "" && os.Getenv("TEST_REQUIRE") == "1" {
		t.Fatal("TEST_MQTT_URL is not set")
	}
	if url == "" {
		t.Skip("TEST_MQTT_URL is not set")
	}
	cfg := defaults()
	cfg.URL, cfg.Topics, cfg.ClientID = url, []string{root + "/+/data"}, fmt.Sprintf("%s-%d", root, replica)
	t.Cleanup(func() { client(t, cfg.URL, cfg.ClientID) }) // a clean session replaces it
	return cfg
}

func root() string { return fmt.Sprintf("test-%d", time.Now().UnixNano()) }

// client returns a connected client that leaves no session behind.
func client(t *testing.T, url, id string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID(id).SetOrderMatters(false))
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("connect %s to %s: %v", id, url, token.Error())
	}
	t.Cleanup(func() { c.Disconnect(250) })
	return c
}

// publish sends the readings from to to of a hundred devices, and waits until the broker has them.
func publish(t *testing.T, c paho.Client, root string, from, to int) {
	t.Helper()
	var tokens []paho.Token
	for i := from; i < to; i++ {
		device := i%100 + 1
		tokens = append(tokens, c.Publish(fmt.Sprintf("%s/%d/data", root, device), 1, false, reading(device, i)))
	}
	for _, token := range tokens {
		if !token.WaitTimeout(patience) || token.Error() != nil {
			t.Fatalf("publish: %v", token.Error())
		}
	}
}

// wantAll waits until the readings 0 to n are in Kafka. Some may be there twice: when a connection ends,
// acknowledgements that are on their way can be lost with it, and the broker sends those messages again.
func (k *testKafka) wantAll(n int) {
	k.t.Helper()
	k.await(fmt.Sprintf("%d different readings", n), func() bool { return len(k.read) >= n && len(keys(k.read)) == n })
}

func TestMosquittoKeepsWhatComesWhileTheBridgeIsAway(t *testing.T) {
	t.Parallel()
	root := root()
	cfg := mosquitto(t, 0, root)
	k := newKafka(t)
	sensor := client(t, cfg.URL, root)

	b := start(t, k, cfg, nil)
	b.checked("")
	publish(t, sensor, root, 0, 1000)
	k.readings(1000)
	b.stop()
	publish(t, sensor, root, 1000, 11_000)
	b = start(t, k, cfg, nil)
	k.wantAll(11_000)
	b.conserved()
}

func TestMosquittoWhileKafkaIsAway(t *testing.T) {
	t.Parallel()
	root := root()
	cfg := mosquitto(t, 0, root)
	k := newKafka(t)
	b := start(t, k, cfg, nil)
	b.checked("")
	k.stop()
	publish(t, client(t, cfg.URL, root), root, 0, 20_000)
	b.reaches("readings_in_flight", 20_000)
	k.start()
	k.wantAll(20_000)
	b.checked("")
	b.conserved()
}

func TestMosquittoSharesAmongReplicas(t *testing.T) {
	t.Parallel()
	root := root()
	k := newKafka(t)
	var replicas []*testBridge
	for i := range 2 {
		cfg := mosquitto(t, i, root)
		cfg.Shared = true
		b := start(t, k, cfg, nil)
		b.checked("")
		replicas = append(replicas, b)
	}
	publish(t, client(t, replicas[0].Config.URL, root), root, 0, 10_000)
	k.wantAll(10_000)
	for i, b := range replicas {
		if b.count("readings_received_total") == 0 {
			t.Errorf("replica %d has received nothing", i)
		}
		b.conserved()
	}
}
