package bridge_test

import (
	"fmt"
	"os"
	"sync"
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
	cfg.Broker.URL, cfg.Topics, cfg.Broker.ClientID = url, []string{root + "/+/data"}, fmt.Sprintf("%s-%d", root, replica)
	t.Cleanup(func() { client(t, cfg.Broker.URL, cfg.Broker.ClientID) }) // a clean session replaces it
	return cfg
}

func root() string { return fmt.Sprintf("test-%d", time.Now().UnixNano()) }

// client returns a connected client that leaves no session behind.
func client(t *testing.T, url, id string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(url).SetClientID(id).SetOrderMatters(false))
	if token := c.Connect(); !token.WaitTimeout(testTimeout) || token.Error() != nil {
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
		if !token.WaitTimeout(testTimeout) || token.Error() != nil {
			t.Errorf("publish: %v", token.Error())
			return
		}
	}
}

// wantOnce waits until n readings are in Kafka, and checks that no two are the same.
func (k *testKafka) wantOnce(n int) {
	k.t.Helper()
	readings := k.readings(n)
	if distinct := len(keys(readings)); len(readings) != n || distinct != n {
		k.t.Errorf("%d readings in Kafka, %d of them different; want %d, each once", len(readings), distinct, n)
	}
}

func TestMosquittoKeepsWhatComesWhileTheBridgeIsAway(t *testing.T) {
	t.Parallel()
	root := root()
	cfg := mosquitto(t, 0, root)
	k := newKafka(t)
	sensor := client(t, cfg.Broker.URL, root)

	b := start(t, k, cfg, nil)
	b.checked("")
	publish(t, sensor, root, 0, 1000)
	k.readings(1000)
	b.stop()
	publish(t, sensor, root, 1000, 11_000)
	b = start(t, k, cfg, nil)
	k.wantOnce(11_000)
	b.conserved()
}

func TestMosquittoWhileTheBridgeStopsAndStarts(t *testing.T) {
	t.Parallel()
	const messages, stops = 20_000, 5
	root := root()
	cfg := mosquitto(t, 0, root)
	k := newKafka(t)
	sensor := client(t, cfg.Broker.URL, root)
	b := start(t, k, cfg, nil)
	b.checked("")

	var publishing sync.WaitGroup
	publishing.Go(func() { publish(t, sensor, root, 0, messages) })
	for i := range stops {
		k.readings(i * messages / stops)
		b.stop()
		b.conserved()
		b = start(t, k, cfg, nil)
	}
	publishing.Wait()
	k.wantOnce(messages)
	b.stop()

	b = start(t, k, cfg, nil) // what was acknowledged last does not come again either
	b.checked("")
	publish(t, sensor, root, messages, messages+1)
	k.wantOnce(messages + 1)
}

func TestMosquittoWhileKafkaIsAway(t *testing.T) {
	t.Parallel()
	root := root()
	cfg := mosquitto(t, 0, root)
	k := newKafka(t)
	b := start(t, k, cfg, nil)
	b.checked("")
	k.stop()
	publish(t, client(t, cfg.Broker.URL, root), root, 0, 20_000)
	b.reaches("readings_in_flight", 20_000)
	k.start()
	k.wantOnce(20_000)
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
		cfg.Broker.Shared = true
		b := start(t, k, cfg, nil)
		b.checked("")
		replicas = append(replicas, b)
	}
	publish(t, client(t, replicas[0].Config.Broker.URL, root), root, 0, 10_000)
	k.wantOnce(10_000)
	for i, b := range replicas {
		if b.count("readings_received_total") == 0 {
			t.Errorf("replica %d has received nothing", i)
		}
		b.conserved()
	}
}
