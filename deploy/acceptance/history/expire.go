package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Expire has the load want nothing of before a moment stored any more, and returns that as a load of its own, some messages of
// which send the oldest and the newest of it again.
func (l *Load) Expire(before time.Time) *Load {
	expired := &Load{Messages: map[iot.DeviceID][]string{}, Want: map[Key]Reading{}}
	for key, r := range l.Want {
		if key.At < before.UnixMilli() {
			expired.Want[key] = r
			delete(l.Want, key)
		}
	}
	readings := map[iot.DeviceID][]Reading{}
	for _, key := range slices.SortedFunc(maps.Keys(expired.Want), Key.compare) {
		readings[key.Device] = append(readings[key.Device], expired.Want[key])
	}
	for device, all := range readings {
		oldest, newest := all[:min(messageReadings, len(all)/2)], all[max(len(all)-messageReadings, len(all)/2):]
		for _, some := range [][]Reading{oldest, newest} {
			expired.Messages[device] = append(expired.Messages[device], messageOf(some))
			expired.TooOld += len(some)
		}
	}
	return expired
}

// messageOf returns a message with readings as they are stored.
func messageOf(readings []Reading) string {
	var list []map[string]any
	for _, r := range readings {
		m := map[string]any{"device_id": r.Device, "timestamp": r.At}
		if r.DeviceKey != "" {
			m["device_id"] = r.DeviceKey
		}
		for name, v := range r.Metrics {
			m[name] = v
		}
		for name, v := range r.Attributes {
			m[name] = v
		}
		list = append(list, m)
	}
	text, err := json.Marshal(list)
	if err != nil {
		panic(err) // numbers and texts
	}
	return string(text)
}

// Charts are what the API answers about the series of devices, by path.
type Charts map[string][]byte

// GetCharts asks for series of devices in from <= at < to, by steps that rollups answer: for all of them, where an answer has
// room for that.
func GetCharts(ctx context.Context, api string, from, to time.Time, devices ...iot.DeviceID) (Charts, error) {
	charts := Charts{}
	for _, device := range devices {
		for _, query := range []string{"15m&tz=UTC&metric=" + iot.Temperature, "1h&tz=Asia/Kathmandu", "1d&tz=UTC", "1d&tz=Europe/Berlin", "1mo&tz=UTC"} {
			path := fmt.Sprintf("/api/devices/%d/series/?interval=%s&from=%s&to=%s%s", device, query, at(from.UnixMilli()), at(to.UnixMilli()), columns)
			var answer json.RawMessage
			if _, err := get(ctx, api, path, &answer); err != nil {
				return nil, err
			}
			charts[path] = answer
		}
	}
	return charts, nil
}

// Check is nil when the API answers the same to the last bit.
func (c Charts) Check(ctx context.Context, api string) error {
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(c)) {
		var answer json.RawMessage
		if _, err := get(ctx, api, path, &answer); err != nil {
			return err
		}
		if want := c[path]; !bytes.Equal(answer, want) {
			i := 0
			for i < min(len(answer), len(want)) && answer[i] == want[i] {
				i++
			}
			excerpt := func(text []byte) []byte { return text[max(0, i-40):min(i+40, len(text))] }
			errs = append(errs, fmt.Errorf("%s has changed: …%s…, and before …%s…", path, excerpt(answer), excerpt(want)))
		}
	}
	return errors.Join(errs...)
}

// TooOld is how many dead letters there are of readings that were too old.
func TooOld(ctx context.Context, api string) (int, error) {
	var stats struct{ Total int }
	_, err := get(ctx, api, "/api/dead-letters/stats/?reason="+string(iot.ReasonTooOld), &stats)
	return stats.Total, err
}
