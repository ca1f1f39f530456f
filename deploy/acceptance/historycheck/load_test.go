package historycheck

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"
)

const (
	publishTimeout  = 30 * time.Second // for an acknowledgement
	messageReadings = 500
	inFlight        = 8 // messages of a connection
	connections     = 4
)

// load is what devices measure: each in turn a reading every so often.
type load struct {
	first, devices int // the ids are first, first+1 …
	every          time.Duration
	from           time.Time
	ticks          int
}

func (l load) len() int { return l.devices * l.ticks }

func (l load) to() time.Time { return l.from.Add(time.Duration(l.ticks) * l.every) }

// messages are those of some of the devices, in the order of time. As those of legacy devices, the readings have two metrics
// that walk in steps of hundredths, and clocks that are a few milliseconds off.
func (l load) messages(of []int) iter.Seq[string] {
	return func(yield func(string) bool) {
		dice := rand.New(rand.NewPCG(uint64(of[0]), 1)) //nolint:gosec // dice, not secrets
		values := make([][2]int, len(of))
		for i := range values {
			values[i] = [2]int{2000 + dice.IntN(500), 4000 + dice.IntN(1000)}
		}
		message, n := []byte{'['}, 0
		for tick := range l.ticks {
			at := l.from.Add(time.Duration(tick) * l.every).UnixMilli()
			for i, device := range of {
				v := &values[i]
				v[0], v[1] = v[0]+dice.IntN(5)-2, v[1]+dice.IntN(5)-2
				message = fmt.Appendf(message, `{"device_id":%d,"timestamp":%d,"temperature":`, device, at+dice.Int64N(5))
				message = strconv.AppendFloat(message, float64(v[0])/100, 'g', -1, 64)
				message = append(message, `,"humidity":`...)
				message = strconv.AppendFloat(message, float64(v[1])/100, 'g', -1, 64)
				message = append(message, `},`...)
				if n++; n == messageReadings {
					message[len(message)-1] = ']'
					if !yield(string(message)) {
						return
					}
					message, n = message[:1], 0
				}
			}
		}
		if n > 0 {
			message[len(message)-1] = ']'
			yield(string(message))
		}
	}
}

// publish publishes loads one after the other, and waits until all that is stored is so many readings.
func (s *system) publish(t *testing.T, stored int, loads ...load) {
	t.Helper()
	begin, n := time.Now(), 0
	for _, l := range loads {
		n += l.len()
		var g errgroup.Group
		for c := range min(connections, l.devices) {
			var of []int
			for i := c; i < l.devices; i += connections {
				of = append(of, l.first+i)
			}
			g.Go(func() error { return publish(s.mqtt, "load-"+strconv.Itoa(of[0]), l.messages(of)) })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitStored(t, stored)
	t.Logf("%d readings are stored after %.1f s", n, time.Since(begin).Seconds())
}

// publish publishes messages on a connection of its own, and returns when all are acknowledged.
func publish(url, client string, messages iter.Seq[string]) error {
	c, err := connect(url, client)
	if err != nil {
		return err
	}
	defer c.Disconnect(100)
	var flying []mqtt.Token
	for message := range messages {
		if len(flying) == inFlight {
			if err := acknowledged(flying[0]); err != nil {
				return err
			}
			flying = flying[1:]
		}
		flying = append(flying, c.Publish("sensors/data", 1, false, message))
	}
	for _, token := range flying {
		if err := acknowledged(token); err != nil {
			return err
		}
	}
	return nil
}

func connect(url, client string) (mqtt.Client, error) {
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(url).SetClientID(client).SetConnectTimeout(publishTimeout).SetAutoReconnect(false))
	return c, acknowledged(c.Connect())
}

func acknowledged(token mqtt.Token) error {
	if !token.WaitTimeout(publishTimeout) {
		return errors.New("no acknowledgement in time")
	}
	return token.Error()
}

// publishNow publishes readings, JSON objects, in one message, and waits until it is acknowledged.
func (s *system) publishNow(t *testing.T, readings ...string) {
	t.Helper()
	if err := publish(s.mqtt, fmt.Sprintf("now-%d", time.Now().UnixNano()), func(yield func(string) bool) { yield("[" + strings.Join(readings, ",") + "]") }); err != nil {
		t.Fatal(err)
	}
}
