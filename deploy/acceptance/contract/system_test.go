package contract

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/telltale-iot/telltale/deploy/acceptance/process"
)

// testTimeout is how long anything may take that has no shorter limit in the contract.
const testTimeout = 30 * time.Second

// system is a deployment of Telltale.
type system struct {
	http, mqtt string
	token      string // of an admin; "" where the API asks for none
	web        string // MQTT over WebSocket; "" where there is none
	listen     bool   // mqtt-bridge is the MQTT endpoint itself
	shared     bool   // it is replicas that share what a broker has
	ops        []string
	topic      string
	latestTTL  time.Duration // 0: not known
	kafka      sarama.Client
	tail       *tail
}

// sut is the system under test. TestMain sets it.
var sut *system

// Devices of this run have ids below firstDevice, where the API puts none of those that it numbers itself,
// and its users names that end in runName.
var (
	firstDevice = 1<<40 + rand.Int64N(1<<32)*1_000_000
	runName     = fmt.Sprintf("%x", firstDevice)
	deviceCount atomic.Int64
)

// newDevice returns an id that no device has.
func newDevice() int64 { return firstDevice - deviceCount.Add(1) }

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "contract:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "telltale-contract-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binaryDir = dir

	s, brokers := fromEnvironment()
	if s.http == "" {
		var p *process.Process
		if p, s, brokers, err = startAllInOne(dir); err != nil {
			return 0, err
		}
		defer func() {
			if stopped := p.Stop(); err == nil {
				err = stopped
			}
		}()
	}
	if s.kafka, err = sarama.NewClient(brokers, kafkaConfig()); err != nil {
		return 0, fmt.Errorf("connect to Kafka at %v: %w", brokers, err)
	}
	defer func() { _ = s.kafka.Close() }()
	if s.tail, err = follow(s.kafka, s.topic, s.topic+".dlq"); err != nil {
		return 0, err
	}
	defer s.tail.close()
	sut = s
	// Tests wait far more than they compute. A number of them that was asked for is kept.
	if flag.Parse(); flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := flag.Set("test.parallel", "32"); err != nil {
			return 0, err
		}
	}
	defer removeDevices()
	return m.Run(), nil
}

func fromEnvironment() (s *system, brokers []string) {
	s = &system{
		http:   strings.TrimSuffix(os.Getenv("ACCEPT_HTTP_URL"), "/"),
		token:  os.Getenv("ACCEPT_TOKEN"),
		mqtt:   os.Getenv("ACCEPT_MQTT_URL"),
		web:    os.Getenv("ACCEPT_MQTT_WS_URL"),
		listen: os.Getenv("ACCEPT_MQTT_MODE") == "listen",
		shared: os.Getenv("ACCEPT_MQTT_MODE") == "shared",
		topic:  cmp.Or(os.Getenv("ACCEPT_KAFKA_TOPIC"), "raw-data"),
	}
	for url := range strings.SplitSeq(os.Getenv("ACCEPT_OPS_URLS"), ",") {
		if url != "" {
			s.ops = append(s.ops, strings.TrimSuffix(url, "/"))
		}
	}
	s.latestTTL, _ = time.ParseDuration(os.Getenv("ACCEPT_LATEST_TTL"))
	return s, strings.Split(os.Getenv("ACCEPT_KAFKA_BROKERS"), ",")
}

// removeDevices leaves the lists of a deployment that lives on as they were.
func removeDevices() {
	for id := firstDevice - deviceCount.Load(); id < firstDevice; id++ {
		request, err := http.NewRequest(http.MethodDelete, fmt.Sprintf("%s/api/devices/%d/", sut.http, id), nil)
		if err != nil {
			panic(err)
		}
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close()
		}
	}
}

// eventually calls try until it returns nil, and fails the test with its last error when that takes too long.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", testTimeout, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
