package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"testing"
	"time"
)

func TestSameMillisecond(t *testing.T) {
	for _, test := range []struct{ name, first, second string }{
		{"the same bytes", `{"temperature": 1, "site": "x", "timestamp": 1709164801123}`, `{"temperature": 1, "site": "x", "timestamp": 1709164801123}`},
		{"members in another order", `{"temperature": 1, "pressure": 2, "timestamp": 1709164801123}`, `{"timestamp": 1709164801123, "pressure": 2, "temperature": 1}`},
		{"the number in another form", `{"temperature": 20, "timestamp": 1709164801123}`, `{"temperature": 2.0e1, "timestamp": 1709164801123}`},
		{"the time in another form", `{"temperature": 1, "timestamp": 1709164801123}`, `{"temperature": 1, "timestamp": "2024-02-29T01:00:01.1234+01:00"}`},
	} {
		t.Run("equal content is a duplicate and dropped: "+test.name, func(t *testing.T) {
			t.Parallel()
			device := newDevice()
			publish(t, topicOf(device), test.first, test.second)
			second := produced(t, device, 2)[1]
			waitForConsumers(t)
			if got := readingsOf(t, device); len(got) != 1 {
				t.Errorf("%d readings stored, want 1", len(got))
			}
			if got := sut.tail.find(sut.topic+".dlq", func(r record) bool { return r.headers["source"] == place(second) }); len(got) != 0 {
				t.Errorf("the duplicate is a dead letter: %v", got[0].headers)
			}
		})
	}
	for _, test := range []struct{ name, first, second string }{
		{"another value", `{"temperature": 1, "timestamp": 1709164801123}`, `{"temperature": 2, "timestamp": 1709164801123}`},
		{"another value, and a metric more", `{"temperature": 1, "timestamp": 1709164801123}`, `{"temperature": 2, "humidity": 2, "timestamp": 1709164801123}`},
		{"another attribute", `{"temperature": 1, "site": "x", "timestamp": 1709164801123}`, `{"temperature": 1, "site": "y", "timestamp": 1709164801123}`},
	} {
		t.Run("different content is a conflict, and the first stays: "+test.name, func(t *testing.T) {
			t.Parallel()
			device := newDevice()
			publish(t, topicOf(device), test.first)
			waitForConsumers(t)
			before := readingsOf(t, device)
			publish(t, topicOf(device), test.second)
			produced(t, device, 2)
			waitForConsumers(t)
			after := readingsOf(t, device)
			if len(before) != 1 || len(after) != 1 || fmt.Sprint(before[0].Metrics, before[0].Attributes, *before[0].Temperature, before[0].Humidity) !=
				fmt.Sprint(after[0].Metrics, after[0].Attributes, *after[0].Temperature, after[0].Humidity) {
				t.Errorf("before %+v, after %+v", before, after)
			}
			deadLetters := waitForDeadLetters(t, topicOf(device), 1)
			checkConflict(t, deadLetters[0], device, test.second)
			if len(deadLetters) != 1 || string(deadLetters[0].Key) != strconv.FormatInt(device, 10) {
				t.Errorf("%d dead letters, key %s", len(deadLetters), deadLetters[0].Key)
			}
		})
	}
	for _, test := range []struct{ name, first, second string }{
		{"a metric more", `{"temperature": 1, "timestamp": 1709164801123}`, `{"temperature": 1, "humidity": 2, "timestamp": 1709164801123}`},
		{"a metric less", `{"temperature": 1, "humidity": 2, "timestamp": 1709164801123}`, `{"temperature": 1, "timestamp": 1709164801123}`},
		{"another metric", `{"temperature": 1, "timestamp": 1709164801123}`, `{"humidity": 2, "timestamp": 1709164801123}`},
	} {
		t.Run("what does not differ is one reading with all members: "+test.name, func(t *testing.T) {
			t.Parallel()
			device := newDevice()
			publish(t, topicOf(device), test.first, test.second)
			produced(t, device, 2)
			waitForConsumers(t)
			if got := readingsOf(t, device); len(got) != 1 || got[0].Temperature == nil || got[0].Humidity == nil || *got[0].Temperature != 1 || *got[0].Humidity != 2 {
				t.Errorf("stored %+v", got)
			}
		})
	}
	t.Run("a conflict within one batch", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), `[{"temperature": 1, "timestamp": 1709164801123}, {"temperature": 2, "timestamp": 1709164801123}, {"temperature": 1, "timestamp": 1709164801123}]`)
		produced(t, device, 3)
		waitForConsumers(t)
		if got := readingsOf(t, device); len(got) != 1 || *got[0].Temperature != 1 {
			t.Errorf("stored %v, want the first", got)
		}
		checkConflict(t, waitForDeadLetters(t, topicOf(device), 1)[0], device, `{"temperature": 2}`)
	})
	t.Run("equal values at different times are different readings", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), `{"temperature": 1, "timestamp": 1709164801123}`, `{"temperature": 1, "timestamp": 1709164801124}`)
		produced(t, device, 2)
		waitForConsumers(t)
		if got := readingsOf(t, device); len(got) != 2 {
			t.Errorf("%d readings stored, want 2", len(got))
		}
	})
}

// place names a record as the source header of a dead letter does.
func place(r record) string { return fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset) }

// checkConflict checks that letter shows what a device has sent at 1709164801123.
func checkConflict(t *testing.T, letter record, device int64, sent string) {
	t.Helper()
	checkDeadLetter(t, letter, string(letter.Value), "conflict")
	var got, want map[string]any
	if json.Unmarshal(letter.Value, &got) != nil || json.Unmarshal([]byte(sent), &want) != nil {
		t.Fatalf("%s or %s is no JSON", letter.Value, sent)
	}
	want["device_id"], want["timestamp"] = float64(device), "2024-02-29T00:00:01.123Z"
	if !reflect.DeepEqual(want, got) {
		t.Errorf("it shows %s of %s", letter.Value, sent)
	}
}

func TestLatestKeepsTheNewest(t *testing.T) {
	for _, test := range []struct {
		name    string
		seconds []int
		want    int
	}{
		{"an older reading never replaces a newer one", []int{30, 10, 20}, 30},
		{"a newer reading does", []int{10, 20, 30}, 30},
		{"in one batch too", nil, 30},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			device, n := newDevice(), 3
			if test.seconds == nil {
				publish(t, topicOf(device), fmt.Sprintf(`[{"temperature": 10, "timestamp": %q}, {"temperature": 30, "timestamp": %q}, {"temperature": 20, "timestamp": %q}]`, at(10), at(30), at(20)))
			}
			for _, s := range test.seconds {
				publish(t, topicOf(device), fmt.Sprintf(`{"temperature": %d, "timestamp": %q}`, s, at(s)))
			}
			produced(t, device, n)
			waitForConsumers(t)
			got := get[reading](t, fmt.Sprintf("/api/devices/%d/latest/", device))
			if instant(t, got.Time).Format(time.RFC3339) != at(test.want) || *got.Temperature != float64(test.want) || got.Status != "online" {
				t.Errorf("latest is %+v, want that of second %d", got, test.want)
			}
		})
	}
}

func TestRegistration(t *testing.T) {
	t.Run("a reading registers an unknown device under its own id, owned by default_user", func(t *testing.T) {
		t.Parallel()
		id := newDevice()
		publish(t, topicOf(id), `{"temperature": 1}`)
		produced(t, id, 1)
		waitForConsumers(t)
		checkRegistered(t, get[device](t, devicePath(id)), id)
	})
	t.Run("a device that is deleted and goes on publishing is registered again", func(t *testing.T) {
		t.Parallel()
		id := newDevice()
		publish(t, topicOf(id), `{"temperature": 1}`)
		produced(t, id, 1)
		waitForConsumers(t)
		if got := call(t, http.MethodDelete, devicePath(id), ""); got.status != http.StatusNoContent {
			t.Fatalf("DELETE: %d %s", got.status, got.body)
		}
		eventually(t, func() error {
			publish(t, topicOf(id), `{"temperature": 2}`)
			if got := call(t, http.MethodGet, devicePath(id), ""); got.status != http.StatusOK {
				return fmt.Errorf("%d %s", got.status, got.body)
			}
			return nil
		})
		checkRegistered(t, get[device](t, devicePath(id)), id)
	})
	t.Run("a reading changes nothing about a device that is known", func(t *testing.T) {
		t.Parallel()
		id, owner := newDevice(), newUser(t)
		want := decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"id": id, "name": "mine", "user": owner.ID, "location": "here"})), http.StatusCreated)
		publish(t, topicOf(id), `{"temperature": 1}`)
		produced(t, id, 1)
		waitForConsumers(t)
		if got := get[device](t, devicePath(id)); !sameDevice(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func checkRegistered(t *testing.T, got device, id int64) {
	t.Helper()
	if got.ID != id || got.Name != fmt.Sprintf("Device %d", id) {
		t.Errorf("device %+v, want id %d and its name", got, id)
	}
	instant(t, got.CreatedAt)
	if owner := get[user](t, userPath(got.User)); owner.Username != "default_user" {
		t.Errorf("owner %+v, want default_user", owner)
	}
}
