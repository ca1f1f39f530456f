package rollup

import (
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Checked is what a store has looked at that compares the days it keeps with the readings, or computes them once more.
type Checked struct {
	From, To time.Time    // from the first day to the last; what is older than the first is rolled up, too, if there is nothing
	Days     int          // of devices; none: nothing is rolled up yet
	Differ   []DeviceHour // whose rollups are not what the readings come to
}

// DeviceHour is an hour of a device.
type DeviceHour struct {
	Device iot.DeviceID
	Hour   time.Time
}
