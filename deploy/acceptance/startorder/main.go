// Command startorder starts the servers and services of docker-compose.yml in random orders, in every other
// round with a Kafka that comes a minute after the rest, and checks that each time the same working system
// comes of it: readings published while Kafka is away and when all is up are each stored once, their devices
// are registered, and the newest values are there. It needs the images (make images) and ends with 1 at the
// first round that fails, leaving its containers to look at.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"
)

const (
	kafkaAway = time.Minute
	timeout   = 3 * time.Minute
	perWave   = 200 // readings, a device each
)

func main() {
	rounds := flag.Int("rounds", 4, "how many orders to try")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the dice")
	project := flag.String("project", "telltale-startorder", "name of the compose project; its data is dropped")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := try(ctx, *project, *rounds, *seed); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func try(ctx context.Context, project string, rounds int, seed uint64) error {
	c, err := newCompose(project)
	if err != nil {
		return err
	}
	fmt.Println("seed", seed)
	dice := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // dice, not secrets
	for i := range rounds {
		r := round{compose: c, dice: dice, kafkaLate: i%2 == 1}
		start := time.Now()
		if err := r.run(ctx); err != nil {
			return fmt.Errorf("round %d, order %s: %w", i+1, strings.Join(r.order, " "), err)
		}
		fmt.Printf("round %d: ok in %v, Kafka late: %t, order: %s\n", i+1, time.Since(start).Round(time.Second), r.kafkaLate, strings.Join(r.order, " "))
	}
	_, err = c.run(ctx, "", "down", "--volumes")
	return err
}

type round struct {
	*compose
	dice      *rand.Rand
	kafkaLate bool
	order     []string
	published int
}

func (r *round) run(ctx context.Context) error {
	if _, err := r.compose.run(ctx, "", "down", "--volumes"); err != nil {
		return err
	}
	if _, err := r.compose.run(ctx, "", "create"); err != nil {
		return err
	}
	if err := r.start(ctx); err != nil {
		return err
	}
	if _, err := r.compose.run(ctx, "", "up", "-d", "--no-recreate", "--wait"); err != nil {
		return err
	}
	if err := r.publishWave(ctx); err != nil {
		return err
	}
	return eventually(ctx, timeout, func() error { return r.check(ctx) })
}

// start starts everything in a random order with pauses of up to two seconds. A late Kafka comes after all
// of it, and readings are published before.
func (r *round) start(ctx context.Context) error {
	list, err := r.compose.run(ctx, "", "config", "--services")
	if err != nil {
		return err
	}
	r.order = strings.Fields(list)
	r.dice.Shuffle(len(r.order), func(i, k int) { r.order[i], r.order[k] = r.order[k], r.order[i] })
	kafkaAt := time.Now().Add(kafkaAway)
	for _, name := range r.order {
		if name == "kafka" && r.kafkaLate {
			continue
		}
		if _, err := r.compose.run(ctx, "", "start", name); err != nil {
			return err
		}
		time.Sleep(time.Duration(r.dice.IntN(2000)) * time.Millisecond)
	}
	if !r.kafkaLate {
		return nil
	}
	if err := eventually(ctx, timeout, func() error { return r.bridgeSubscribes(ctx) }); err != nil {
		return err
	}
	if err := r.publishWave(ctx); err != nil {
		return err
	}
	time.Sleep(time.Until(kafkaAt))
	_, err = r.compose.run(ctx, "", "start", "kafka")
	return err
}

// bridgeSubscribes reports whether Mosquitto has the bridge's session: from then on it keeps messages for it.
func (r *round) bridgeSubscribes(ctx context.Context) error {
	body, err := get(ctx, "http://127.0.0.1:"+r.ports["BRIDGE_OPS_PORT"]+"/readyz?verbose")
	if err == nil && !strings.Contains(string(body), "[+]mqtt ok") {
		err = fmt.Errorf("mqtt-bridge has not subscribed: %s", body)
	}
	return err
}

func (r *round) publishWave(ctx context.Context) error {
	var lines strings.Builder
	at := time.Now().UTC()
	for range perWave {
		r.published++
		fmt.Fprintf(&lines, `{"device_id": %d, "temperature": 21.5, "humidity": 40, "timestamp": %q}`+"\n", r.published, at.Format(time.RFC3339Nano))
	}
	return r.publish(ctx, lines.String())
}

// check compares what the API shows with what was published.
func (r *round) check(ctx context.Context) error {
	api := "http://127.0.0.1:" + r.ports["HTTP_PORT"] + "/api"
	var stats struct {
		Total   int `json:"total_readings"`
		Devices []struct {
			Count int `json:"count"`
		} `json:"readings_by_device"`
	}
	if err := getJSON(ctx, api+"/readings/stats/", &stats); err != nil {
		return err
	}
	if stats.Total != r.published || len(stats.Devices) != r.published {
		return fmt.Errorf("%d readings of %d devices are stored, want one of each of %d", stats.Total, len(stats.Devices), r.published)
	}
	var devices, latest []json.RawMessage
	if err := getJSON(ctx, api+"/devices/?limit=10000", &devices); err != nil {
		return err
	}
	if len(devices) != r.published {
		return fmt.Errorf("%d devices are registered, want %d", len(devices), r.published)
	}
	if err := getJSON(ctx, api+"/readings/latest_all/", &latest); err != nil {
		return err
	}
	if len(latest) < perWave {
		return fmt.Errorf("%d devices are online, want the last %d", len(latest), perWave)
	}
	return nil
}

func getJSON(ctx context.Context, url string, into any) error {
	body, err := get(ctx, url)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}
