package rollup

import (
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Checked is what a store has looked at that compares the days it keeps with the readings, or computes them once more.
type Checked struct {
	From, To time.Time    // what is rolled up; both zero: nothing is yet
	Days     int          // of devices
	Differ   []DeviceHour // whose rollups are not what the readings come to
}

// DeviceHour is an hour of a device.
type DeviceHour struct {
	Device iot.DeviceID
	Hour   time.Time
}
