package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// deviceWithReadings returns a device that has readings at the seconds 0 … n-1, with those as temperatures.
func deviceWithReadings(t *testing.T, n int) (id int64) {
	t.Helper()
	id = newDevice()
	var batch []string
	for i := range n {
		batch = append(batch, fmt.Sprintf(`{"temperature": %d, "timestamp": %q}`, i, at(i)))
	}
	publish(t, topicOf(id), "["+strings.Join(batch, ",")+"]")
	produced(t, id, n)
	waitForConsumers(t)
	return id
}

// listsOf are the two paths of a device's readings, each with a query to go on with &.
func listsOf(id int64) []string {
	return []string{fmt.Sprintf("/api/devices/%d/readings/?", id), fmt.Sprintf("/api/readings/?device_id=%d&", id)}
}

func TestReadings(t *testing.T) {
	t.Parallel()
	const n = 105
	id := deviceWithReadings(t, n)
	for _, path := range listsOf(id) {
		for _, test := range []struct {
			name, query string
			first, last int // temperatures
			more        bool
		}{
			{"100 by default, newest first", "", 104, 5, true},
			{"limit=1", "limit=1", 104, 104, true},
			{"limit one less than there are", "limit=104", 104, 1, true},
			{"limit that is just enough is no cut", "limit=105", 104, 0, false},
			{"limit=10000", "limit=10000", 104, 0, false},
			{"since includes its moment", "limit=1000&since=2024-02-29T00:01:00Z", 104, 60, false},
			{"until", "limit=1000&until=2024-02-29T00:00:10.001Z", 10, 0, false},
			{"since and until", "since=2024-02-29T00:00:10Z&until=2024-02-29T00:00:20.001Z", 20, 10, false},
			{"since and until, cut", "limit=3&since=2024-02-29T00:00:10Z&until=2024-02-29T00:00:20.001Z", 20, 18, true},
			{"since with another zone", "limit=1000&since=2024-02-29T01:01:40%2B01:00", 104, 100, false},
		} {
			t.Run(path+test.query+" "+test.name, func(t *testing.T) {
				a := call(t, http.MethodGet, path+test.query, "")
				got := decode[[]reading](t, a, http.StatusOK)
				var temperatures, want []int
				for _, r := range got {
					temperatures = append(temperatures, int(*r.Temperature))
				}
				for i := test.first; i >= test.last; i-- {
					want = append(want, i)
				}
				if !slices.Equal(temperatures, want) {
					t.Errorf("temperatures %v, want %v", temperatures, want)
				}
				if next := a.next(t, sut.http); (next != "") != test.more {
					t.Errorf("next %q, want one: %t", next, test.more)
				}
			})
		}
		for _, query := range []string{"since=2030-01-01T00:00:00Z", "until=2001-01-01T00:00:00Z"} {
			t.Run(path+query+" an empty list is an array", func(t *testing.T) {
				if a := call(t, http.MethodGet, path+query, ""); a.status != http.StatusOK || strings.TrimSpace(a.body) != "[]" {
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		for query, fields := range map[string][]string{
			"limit=0": {"limit"}, "limit=-1": {"limit"}, "limit=10001": {"limit"}, "limit=ten": {"limit"}, "limit=1.5": {"limit"},
			"limit=99999999999999999999": {"limit"}, "since=yesterday": {"since"}, "until=2024-02-30T00:00:00Z": {"until"},
			"cursor=nonsense": {"cursor"}, "limit=0&since=x&until=y": {"limit", "since", "until"},
		} {
			t.Run(path+query+" is a 400 that names it", func(t *testing.T) {
				wantFields(t, call(t, http.MethodGet, path+query, ""), fields...)
			})
		}
	}
	for _, value := range []string{"%00", "a%0A", "%zz", strings.Repeat("k", 256)} {
		t.Run("/api/readings/?device_id="+value+" is a 400 that names it", func(t *testing.T) {
			wantFields(t, call(t, http.MethodGet, "/api/readings/?device_id="+value, ""), "device_id")
		})
	}
}

func TestReadingForm(t *testing.T) {
	for _, test := range []struct{ name, payload, want string }{
		{"null where absent", `{"pressure": 1}`, `{"device_id":D,"temperature":null,"humidity":null,"timestamp":"2024-02-29T00:00:07.000Z","metrics":{"pressure":1},"timestamp_source":"device"}`},
		{"metrics and attributes where there are any", `{"temperature": 21.5, "humidity": 40}`, `{"device_id":D,"temperature":21.5,"humidity":40,"timestamp":"2024-02-29T00:00:07.000Z","timestamp_source":"device"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			id := newDevice()
			publish(t, topicOf(id), strings.Replace(test.payload, "}", fmt.Sprintf(`, "timestamp": %q}`, at(7)), 1))
			produced(t, id, 1)
			waitForConsumers(t)
			want := "[" + strings.ReplaceAll(test.want, "D", fmt.Sprint(id)) + "]"
			wantJSON(t, call(t, http.MethodGet, listsOf(id)[0], ""), want)
			wantJSON(t, call(t, http.MethodGet, listsOf(id)[1], ""), want)
			wantJSON(t, call(t, http.MethodGet, fmt.Sprintf("/api/devices/%d/latest/", id), ""), strings.TrimSuffix(want[1:], "}]")+`,"status":"online"}`)
		})
	}
}

func TestLatest(t *testing.T) {
	t.Run("online for LATEST_TTL from the arrival of a reading, however old it is, and then offline", func(t *testing.T) {
		t.Parallel()
		id := newDevice()
		begin := time.Now()
		publish(t, topicOf(id), `{"temperature": 5, "timestamp": "2004-05-06T07:08:09Z"}`)
		produced(t, id, 1)
		waitForConsumers(t)
		path, legacy := fmt.Sprintf("/api/devices/%d/latest/", id), fmt.Sprintf("/api/latest/%d/", id)
		if got := get[reading](t, path); got.Status != "online" || got.Device != id || *got.Temperature != 5 {
			t.Errorf("latest %+v", got)
		}
		if got := get[reading](t, legacy); got.Device != id || *got.Temperature != 5 {
			t.Errorf("%s: %+v", legacy, got)
		}
		all := get[[]reading](t, "/api/readings/latest_all/")
		if !slices.ContainsFunc(all, func(r reading) bool { return r.Device == id && r.Status == "online" }) {
			t.Errorf("latest_all lacks device %d", id)
		}
		if !slices.IsSortedFunc(all, func(a, b reading) int { return int(a.Device - b.Device) }) {
			t.Error("latest_all is not by device_id")
		}
		if sut.latestTTL == 0 || sut.latestTTL > 10*time.Second {
			return
		}
		eventually(t, func() error {
			if a := call(t, http.MethodGet, path, ""); a.status != http.StatusNotFound {
				return fmt.Errorf("still %d", a.status)
			}
			return nil
		})
		if online := time.Since(begin); online < sut.latestTTL || online > sut.latestTTL+10*time.Second {
			t.Errorf("online for %v, want %v", online, sut.latestTTL)
		}
		wantOffline(t, id, true)
		if got := get[reading](t, legacy); got.Device != id || *got.Temperature != 5 {
			t.Errorf("%s shows %+v, want the newest stored reading", legacy, got)
		}
		if slices.ContainsFunc(get[[]reading](t, "/api/readings/latest_all/"), func(r reading) bool { return r.Device == id }) {
			t.Error("latest_all has a device that is offline")
		}
		if slices.Contains(get[stats](t, "/api/readings/stats/").Active, id) {
			t.Error("stats count a device as active that is offline")
		}
	})
	t.Run("a device that never sent anything is offline", func(t *testing.T) {
		t.Parallel()
		id := newOwnedDevice(t, newUser(t).ID).ID
		wantOffline(t, id, false)
		wantDetail(t, call(t, http.MethodGet, fmt.Sprintf("/api/latest/%d/", id), ""), http.StatusNotFound)
	})
}

// wantOffline checks that a registered device has no latest value, and was seen or was not.
func wantOffline(t *testing.T, id int64, wasSeen bool) {
	t.Helper()
	got := decode[struct {
		Detail     string
		LastSeen   *string `json:"last_seen"`
		Registered bool
	}](t, call(t, http.MethodGet, fmt.Sprintf("/api/devices/%d/latest/", id), ""), http.StatusNotFound)
	if got.Detail != "No recent data (device offline)" || !got.Registered || (got.LastSeen != nil) != wasSeen {
		t.Errorf("%+v", got)
	}
}

type stats struct {
	Total  int64 `json:"total_readings"`
	Counts []struct {
		ID    int64 `json:"_id"`
		Count int64 `json:"count"`
	} `json:"readings_by_device"`
	Active      []int64 `json:"active_devices"`
	ActiveCount int     `json:"active_count"`

	Size     int64    `json:"size_bytes"`
	Rollups  *int64   `json:"rollups_bytes"` // null: not known, as the others
	Free     *int64   `json:"free_bytes"`
	PerDay   *int64   `json:"growth_bytes_per_day"`
	DaysLeft *float64 `json:"days_until_full"`
	Oldest   *string  `json:"oldest_reading"`
}

func TestStats(t *testing.T) {
	t.Parallel()
	id := deviceWithReadings(t, 7)
	got := get[stats](t, "/api/readings/stats/")
	var sum, own int64
	for _, c := range got.Counts {
		if sum += c.Count; c.ID == id {
			own = c.Count
		}
	}
	if own != 7 || sum != got.Total {
		t.Errorf("%d readings of the device, want 7; %d in all, and the total says %d", own, sum, got.Total)
	}
	if !slices.Contains(got.Active, id) || got.ActiveCount != len(got.Active) {
		t.Errorf("active_count %d of %d devices, with ours: %t", got.ActiveCount, len(got.Active), slices.Contains(got.Active, id))
	}
}
