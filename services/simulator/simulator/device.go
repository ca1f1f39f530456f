package simulator

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// device is one simulated device: a room whose temperature follows the day, with slow moods of its own
// and the noise of a cheap sensor, and whose air is drier the warmer it is.
type device struct {
	id     iot.DeviceID
	family *family
	topics []string // of its messages, which it sends in turns
	turn   int      // of the next message

	mean     float64 // °C over the day
	swing    float64 // °C from the mean to the warmest moment
	warmest  float64 // hour of the day, UTC
	humidity float64 // % RH at the mean temperature
	charged  float64 // years since its battery was new, at the epoch

	mood       float64 // °C: a random walk that finds back to 0
	lastMillis int64   // of the latest reading

	silentUntil time.Time // a burst is being saved up until then
}

const (
	moodSize = 0.8 // °C, standard deviation
	moodTime = 30 * time.Minute

	batteryLife = 365 * 24 * time.Hour // then it is replaced
)

// newDevice returns a device whose character depends on its id alone.
func newDevice(id iot.DeviceID, f *family) device {
	character := rand.New(rand.NewPCG(uint64(id), 0))
	return device{
		id:       id,
		family:   f,
		topics:   f.topics(uint64(id)),
		mean:     18 + 8*character.Float64(),
		swing:    1 + 4*character.Float64(),
		warmest:  13 + 4*character.Float64(),
		humidity: 40 + 20*character.Float64(),
		mood:     moodSize * character.NormFloat64(),
		charged:  character.Float64(),
	}
}

// maxLead bounds how far the timestamps of a device with more than 1,000 readings per second run ahead of
// its clock: each takes a millisecond of its own, and Telltale takes no timestamp over 5 minutes ahead.
const maxLead = iot.MaxAhead - time.Minute

// stamp returns the millisecond for a reading that is measured at t: t's own, as exact as the device's clock is, or the
// first free one.
func (d *device) stamp(t time.Time) int64 {
	tick := max(d.family.clock.Milliseconds(), 1)
	return max(t.UnixMilli()/tick*tick, d.lastMillis+tick)
}

// measure returns what is measured at millisecond ms, which no reading before had.
func (d *device) measure(ms int64, random *rand.Rand) measurement {
	if d.lastMillis != 0 {
		kept := math.Exp(-float64(ms-d.lastMillis) / float64(moodTime.Milliseconds()))
		d.mood = kept*d.mood + moodSize*math.Sqrt(1-kept*kept)*random.NormFloat64()
	}
	d.lastMillis = ms

	hour := float64(ms%86_400_000) / 3_600_000
	above := d.swing*math.Cos((hour-d.warmest)*math.Pi/12) + d.mood + 0.05*random.NormFloat64()
	humidity := d.humidity - 2*above + 0.3*random.NormFloat64()
	_, used := math.Modf(d.charged + float64(ms)/float64(batteryLife.Milliseconds()))
	return measurement{
		ms:          ms,
		temperature: d.mean + above,
		humidity:    min(max(humidity, 5), 100),
		battery:     100 * (1 - used),
		rssi:        int(math.Round(-60 + 5*d.mood)), // a door is opened, and the reception changes too
	}
}

// telltaleMessage is a payload in the form that devices have always sent.
func telltaleMessage(dst []byte, id uint64, _ int, m measurement) []byte {
	dst = append(dst, `{"device_id":`...)
	dst = strconv.AppendUint(dst, id, 10)
	dst = append(dst, `,"temperature":`...)
	dst = strconv.AppendFloat(dst, math.Round(m.temperature*100)/100, 'f', -1, 64)
	dst = append(dst, `,"humidity":`...)
	dst = strconv.AppendFloat(dst, math.Round(m.humidity*10)/10, 'f', -1, 64)
	dst = append(dst, `,"timestamp":"`...)
	dst = readingjson.AppendTime(dst, time.UnixMilli(m.ms))
	return append(dst, `"}`...)
}
