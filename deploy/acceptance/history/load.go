package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Plan says what a Load is of.
type Plan struct {
	First    iot.DeviceID // the id of the first device
	Devices  int
	Readings int // at different moments, of all devices together
	From, To time.Time
	Daily    time.Duration // only from the beginning of each day of UTC on, so long; 0: all day
	Late     time.Duration // how long before From some of them are
	Text     int           // bytes of text that each has, which no store can write shorter
	Old      int           // how many percent of them are stored already, by an earlier version
	Seed     uint64
}

// Shares of the readings, in percent.
const (
	duplicates = 5 // sent again
	conflicts  = 2 // contradicted by another one of the same moment
	merges     = 3 // completed by another one of the same moment
	lates      = 3 // of the time before From
)

// messageReadings is how many readings a message has.
const messageReadings = 50

// publishTimeout is how long a message may take to be acknowledged, before it is sent again.
const publishTimeout = 10 * time.Second

// retryGap is between two attempts to reach what has ended.
const retryGap = 20 * time.Millisecond

// Load is readings to publish, and what is to be stored of them.
type Load struct {
	// Messages are those of each device, in the order in which they have to arrive.
	Messages map[iot.DeviceID][]string
	Want     map[Key]Reading
	Old      map[Key]Reading // those that are stored already
	// What becomes of the readings where each is published once.
	New, Merged, Duplicates, Conflicts, TooOld int
}

// Key is a device and a moment, of which one reading is stored.
type Key struct {
	Device iot.DeviceID
	At     int64 // ms since 1970
}

const (
	attributed = "firmware"
	odd        = "odd.metric 😀"
)

// oddValues are those that a lossy format would spoil. None is negative and large: sums are compared.
var oddValues = []float64{0.1, math.Copysign(0, -1), math.SmallestNonzeroFloat64, 1.7e308, 1<<53 + 2, 1.0 / 3, -1e-300, 123456789.125}

// NewLoad makes a load by a plan. The last device has a key instead of an id.
func NewLoad(p Plan) *Load {
	dice := rand.New(rand.NewPCG(p.Seed, 1)) //nolint:gosec // dice, not secrets
	l := &Load{Messages: map[iot.DeviceID][]string{}, Want: map[Key]Reading{}, Old: map[Key]Reading{}}
	for i := range p.Devices {
		device := p.First + iot.DeviceID(i)
		name := any(int64(device))
		if i == p.Devices-1 {
			key := "meter/" + device.String()
			device, name = iot.KeyID(key), key
		}
		l.addDevice(dice, p, device, name)
	}
	return l
}

// addDevice makes the messages of a device.
func (l *Load) addDevice(dice *rand.Rand, p Plan, device iot.DeviceID, name any) {
	var all []sent
	value := 20.0
	taken := map[int64]bool{}
	for range p.Readings / p.Devices {
		at := p.moment(dice)
		if taken[at] {
			continue
		}
		taken[at] = true
		value += float64(dice.IntN(21)-10) / 100
		r := sent{at, map[string]any{"temperature": math.Round(value*100) / 100, "humidity": float64(400+dice.IntN(300)) / 10}}
		switch dice.IntN(10) {
		case 0:
			r.members[odd] = oddValues[dice.IntN(len(oddValues))]
		case 1:
			r.members["noise"] = dice.NormFloat64()
			delete(r.members, "humidity")
		case 2:
			r.members["room"] = []string{"lab", "attic", "Keller"}[dice.IntN(3)]
		}
		if dice.IntN(2) == 0 {
			r.members[attributed] = fmt.Sprintf("1.%d", dice.IntN(4))
		}
		if p.Text > 0 {
			r.members["text"] = randomText(dice, p.Text)
		}
		all = append(all, r)
		switch n := dice.IntN(100); {
		case n < duplicates:
			all = append(all, r)
		case n < duplicates+conflicts:
			all = append(all, sent{at, map[string]any{"temperature": math.Round(value*100)/100 + 1, "extra": 1.0}})
		case n < duplicates+conflicts+merges:
			all = append(all, sent{at, map[string]any{"pressure": float64(990 + dice.IntN(40)), "site": "north"}})
		}
	}
	dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	old := len(all) * p.Old / 100
	for _, r := range all[:old] {
		l.note(device, name, r)
	}
	for key, r := range l.Want {
		if key.Device == device {
			l.Old[key] = Reading{Key: key, DeviceKey: r.DeviceKey, Metrics: maps.Clone(r.Metrics), Attributes: maps.Clone(r.Attributes)}
		}
	}
	for chunk := range slices.Chunk(all[old:], messageReadings) {
		l.add(device, name, chunk)
	}
}

// moment returns that of a reading.
func (p *Plan) moment(dice *rand.Rand) int64 {
	from, to := p.From.UnixMilli(), p.To.UnixMilli()
	if dice.IntN(100) < lates {
		from, to = from-p.Late.Milliseconds(), from
	}
	for {
		at := from + dice.Int64N(to-from)
		if p.Daily == 0 || at%(24*time.Hour).Milliseconds() < p.Daily.Milliseconds() {
			return at
		}
	}
}

func randomText(dice *rand.Rand, bytes int) string {
	text := make([]byte, bytes)
	for i := range text {
		text[i] = byte(' ' + 1 + dice.IntN('~'-' '))
	}
	return string(text)
}

// sent is a reading as its device sends it.
type sent struct {
	at      int64
	members map[string]any
}

// add makes a message of readings, and notes what they come to behind those before them.
func (l *Load) add(device iot.DeviceID, name any, readings []sent) {
	var list []map[string]any
	for _, r := range readings {
		m := maps.Clone(r.members)
		m["device_id"], m["timestamp"] = name, r.at
		list = append(list, m)
		l.note(device, name, r)
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // numbers and texts
	}
	l.Messages[device] = append(l.Messages[device], string(text))
}

func (l *Load) note(device iot.DeviceID, name any, r sent) {
	key := Key{device, r.at}
	stored, ok := l.Want[key]
	if !ok {
		stored = Reading{Key: key, Metrics: map[string]float64{}, Attributes: map[string]string{}}
		stored.DeviceKey, _ = name.(string)
		l.New++
	} else if stored.contradicts(r.members) {
		l.Conflicts++
		return
	}
	more := false
	for name, v := range r.members {
		switch v := v.(type) {
		case float64:
			_, has := stored.Metrics[name]
			more = more || !has
			stored.Metrics[name] = v
		case string:
			_, has := stored.Attributes[name]
			more = more || !has
			stored.Attributes[name] = v
		}
	}
	switch {
	case ok && more:
		l.Merged++
	case ok:
		l.Duplicates++
	}
	l.Want[key] = stored
}

func (r Reading) contradicts(members map[string]any) bool {
	for name, v := range members {
		switch v := v.(type) {
		case float64:
			if has, ok := r.Metrics[name]; ok && has != v {
				return true
			}
		case string:
			if has, ok := r.Attributes[name]; ok && has != v {
				return true
			}
		}
	}
	return false
}

// AddLate adds a reading of the first device to the load, at a moment long before the others, and returns its message.
func (l *Load) AddLate(at time.Time) string {
	device := slices.Min(slices.Collect(maps.Keys(l.Messages)))
	l.add(device, int64(device), []sent{{at.UnixMilli(), map[string]any{"temperature": -273.15, "late": 1.0}}})
	messages := l.Messages[device]
	return messages[len(messages)-1]
}

// Publish publishes all messages to an MQTT endpoint, those of each device one after the other, each until it is
// acknowledged, with a gap between them: also over the end of what listens there.
func (l *Load) Publish(ctx context.Context, url string, gap time.Duration) error {
	errs := make(chan error)
	for device, messages := range l.Messages {
		go func() { errs <- publish(ctx, url, "history-"+device.String(), messages, gap) }()
	}
	var all []error
	for range l.Messages {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// PublishOne publishes one message.
func PublishOne(ctx context.Context, url, message string) error {
	return publish(ctx, url, "history-one", []string{message}, 0)
}

func publish(ctx context.Context, url, client string, messages []string, gap time.Duration) error {
	var c mqtt.Client
	defer func() {
		if c != nil {
			c.Disconnect(0)
		}
	}()
	for len(messages) > 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%d messages of %s are not acknowledged: %w", len(messages), client, err)
		}
		if c == nil {
			o := mqtt.NewClientOptions().AddBroker(url).SetClientID(client).SetAutoReconnect(false).SetConnectTimeout(publishTimeout)
			c = mqtt.NewClient(o)
			if t := c.Connect(); !t.WaitTimeout(publishTimeout) || t.Error() != nil {
				c = nil
				pause(ctx, retryGap)
				continue
			}
		}
		if t := c.Publish("sensors/data", 1, false, messages[0]); !t.WaitTimeout(publishTimeout) || t.Error() != nil {
			c.Disconnect(0)
			c = nil
			pause(ctx, retryGap)
			continue
		}
		messages = messages[1:]
		pause(ctx, gap)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// Check is nil when readings are those that the load wants stored.
func (l *Load) Check(readings []Reading) error {
	var wrong []string
	found := map[Key]bool{}
	for _, r := range readings {
		want, ok := l.Want[r.Key]
		switch {
		case !ok:
			wrong = append(wrong, "nobody has published "+r.Line)
		case !r.equal(want):
			wrong = append(wrong, fmt.Sprintf("%s, want %v %v", r.Line, want.Metrics, want.Attributes))
		}
		found[r.Key] = true
	}
	for key, want := range l.Want {
		if !found[key] {
			wrong = append(wrong, fmt.Sprintf("missing: device %d, %s, %v", key.Device, time.UnixMilli(key.At).UTC(), want.Metrics))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d of %d readings are wrong:\n%s", len(wrong), len(l.Want), strings.Join(wrong[:min(5, len(wrong))], "\n"))
	}
	return nil
}

func (r Reading) equal(o Reading) bool {
	same := func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) }
	return maps.EqualFunc(r.Metrics, o.Metrics, same) && maps.Equal(r.Attributes, o.Attributes) && r.DeviceKey == o.DeviceKey
}
