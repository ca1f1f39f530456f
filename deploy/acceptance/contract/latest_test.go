package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// valueTopic is the topic of a message that is the value of one metric.
func valueTopic(device int64, metric string) string {
	return strings.TrimSuffix(topicOf(device), "data") + metric
}

func TestLatestMembers(t *testing.T) {
	t.Run("a device that sends each value by itself shows all of them, and the times of those that are older", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, valueTopic(device, "temperature"), "21.5")
		publish(t, valueTopic(device, "humidity"), "40")
		publish(t, valueTopic(device, "pressure"), "1013.2")
		produced(t, device, 3)
		waitForConsumers(t)
		all := get[[]reading](t, "/api/readings/latest_all/")
		i := slices.IndexFunc(all, func(r reading) bool { return r.Device == device })
		if i < 0 {
			t.Fatalf("latest_all lacks device %d", device)
		}
		for path, r := range map[string]reading{
			"/latest/": get[reading](t, devicePath(device)+"latest/"), "/api/latest/": get[reading](t, fmt.Sprintf("/api/latest/%d/", device)),
			"latest_all": all[i],
		} {
			if r.Temperature == nil || *r.Temperature != 21.5 || r.Humidity == nil || *r.Humidity != 40 || r.Metrics["pressure"] != 1013.2 {
				t.Errorf("%s: %+v", path, r)
			}
			first, second, newest := r.Times["temperature"], r.Times["humidity"], instant(t, r.Time)
			if len(r.Times) != 2 || !instant(t, first).Before(instant(t, second)) || !instant(t, second).Before(newest) {
				t.Errorf("%s: of %s, times %v", path, r.Time, r.Times)
			}
		}
	})
	t.Run("each metric and attribute is the newest of its name, in any order", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		for _, message := range []string{
			`{"temperature": 30, "timestamp": "` + at(30) + `"}`,
			`{"temperature": 10, "humidity": 41, "room": "old", "timestamp": "` + at(10) + `"}`,
			`{"humidity": 42, "room": "lab", "timestamp": "` + at(20) + `"}`,
			`{"pressure": 1013, "timestamp": "` + at(30) + `"}`, // merged with the first
			`{"temperature": 10, "humidity": 41, "room": "old", "timestamp": "` + at(10) + `"}`,
		} {
			publish(t, topicOf(device), message)
		}
		produced(t, device, 5)
		waitForConsumers(t)
		older := strings.TrimSuffix(at(20), "Z") + ".000Z"
		wantJSON(t, call(t, http.MethodGet, devicePath(device)+"latest/", ""), fmt.Sprintf(
			`{"device_id": %d, "temperature": 30, "humidity": 42, "timestamp": %q, "metrics": {"pressure": 1013}, "attributes": {"room": "lab"},
			"timestamp_source": "device", "times": {"humidity": %q, "room": %[3]q}, "status": "online"}`,
			device, strings.TrimSuffix(at(30), "Z")+".000Z", older))
	})
	t.Run("a member is shown for LATEST_TTL before the newest arrival", func(t *testing.T) {
		if sut.latestTTL == 0 || sut.latestTTL > 10*time.Second {
			return // this would take too long
		}
		t.Parallel()
		device := newDevice()
		begin := time.Now()
		publish(t, valueTopic(device, "humidity"), "40")
		wasThere := false
		for i := 0; ; i++ {
			publish(t, valueTopic(device, "temperature"), fmt.Sprint(i))
			produced(t, device, i+2)
			waitForConsumers(t)
			r := get[reading](t, devicePath(device)+"latest/")
			if r.Temperature == nil || *r.Temperature != float64(i) {
				t.Fatalf("after %v: %+v, want %d °C", time.Since(begin), r, i)
			}
			if r.Humidity == nil {
				break
			}
			wasThere = true
			if time.Since(begin) > sut.latestTTL+20*time.Second {
				t.Fatalf("humidity is shown after %v: %+v", time.Since(begin), r)
			}
		}
		if took := time.Since(begin); !wasThere || took < sut.latestTTL {
			t.Errorf("humidity was gone after %v, want %v", took, sut.latestTTL)
		}
	})
}
