package contract

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

func TestPresence(t *testing.T) {
	seen := func(t *testing.T, id int64) device {
		t.Helper()
		var d device
		eventually(t, func() error {
			d = get[device](t, devicePath(id))
			if d.LastSeen == nil {
				return fmt.Errorf("device %d was not seen", id)
			}
			return nil
		})
		return d
	}
	t.Run("a device is never, then online from its reading on, whatever the time of that, then offline, and stays seen", func(t *testing.T) {
		t.Parallel()
		d := newOwnedDevice(t, newUser(t).ID)
		if d.Status != "never" || d.LastSeen != nil || d.OfflineAfter <= 0 {
			t.Errorf("%+v", d)
		}
		decode[device](t, call(t, http.MethodPatch, devicePath(d.ID), `{"offline_after": 3}`), http.StatusOK)
		publish(t, topicOf(d.ID), `{"temperature": 5, "timestamp": "2004-05-06T07:08:09Z"}`)
		d = seen(t, d.ID)
		last := instant(t, *d.LastSeen)
		if d.Status != "online" || d.OfflineAfter != 3 || time.Since(last).Abs() > time.Minute {
			t.Errorf("%+v", d)
		}
		eventually(t, func() error {
			if d = get[device](t, devicePath(d.ID)); d.Status != "offline" {
				return fmt.Errorf("device %d is %s", d.ID, d.Status)
			}
			return nil
		})
		if !instant(t, *d.LastSeen).Equal(last) {
			t.Errorf("seen at %s, was at %v", *d.LastSeen, last)
		}
	})
	t.Run("offline_after is a device's own, and null is the deployment's", func(t *testing.T) {
		t.Parallel()
		d := newOwnedDevice(t, newUser(t).ID)
		for body, want := range map[string]float64{`{"offline_after": 700}`: 700, `{"offline_after": 31536000}`: 31536000, `{"offline_after": null}`: d.OfflineAfter} {
			if got := decode[device](t, call(t, http.MethodPatch, devicePath(d.ID), body), http.StatusOK); got.OfflineAfter != want {
				t.Errorf("%s: %v", body, got.OfflineAfter)
			}
			if got := get[device](t, devicePath(d.ID)); got.OfflineAfter != want {
				t.Errorf("%s, and then GET: %v", body, got.OfflineAfter)
			}
		}
		for _, wrong := range []string{"0", "-1", "31536001", `"soon"`, "{}", "1e99"} {
			wantFields(t, call(t, http.MethodPatch, devicePath(d.ID), `{"offline_after": `+wrong+`}`), "offline_after")
		}
	})
	t.Run("?status= and ?q= filter, also page by page", func(t *testing.T) {
		t.Parallel()
		owner := newUser(t)
		var all, online []int64
		for i := range 5 {
			id := newDevice()
			decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{
				"id": id, "name": fmt.Sprintf("Boiler %d%%_x", i), "user": owner.ID, "location": "North Wall", "offline_after": 3600,
			})), http.StatusCreated)
			all = append(all, id)
			if i%2 == 0 {
				publish(t, topicOf(id), `{"temperature": 1}`)
				seen(t, id)
				online = append(online, id)
			}
		}
		never := slices.DeleteFunc(slices.Clone(all), func(id int64) bool { return slices.Contains(online, id) })
		for query, want := range map[string][]int64{
			"status=online": online, "status=never": never, "status=offline": nil, "q=": all, "q=boiler": all, "q=" + url.QueryEscape("%_X"): all,
			"q=northx": nil, "q=" + url.QueryEscape("north w"): all, "q=%25_": all, "q=b%25r": nil, "q=BOILER&status=online": online,
			"q=" + url.QueryEscape("boiler 1"): {all[1]},
		} {
			for _, limit := range []string{"", "&limit=1", "&limit=2"} {
				path := fmt.Sprintf("/api/devices/?user=%d&%s%s", owner.ID, query, limit)
				var got []int64
				for _, d := range readAll[device](t, path) {
					got = append(got, d.ID)
				}
				want = slices.Sorted(slices.Values(want))
				if !slices.Equal(got, want) {
					t.Errorf("%s: %v, want %v", path, got, want)
				}
			}
		}
		wantFields(t, call(t, http.MethodGet, "/api/devices/?status=asleep", ""), "status")
	})
	t.Run("the latest value of a device that nobody knows says that it is not registered", func(t *testing.T) {
		t.Parallel()
		a := call(t, http.MethodGet, fmt.Sprintf("/api/devices/%d/latest/", newDevice()), "")
		if a.status != http.StatusNotFound {
			t.Errorf("status %d", a.status)
		}
		wantJSON(t, a, `{"detail": "No recent data (device offline)", "last_seen": null, "registered": false}`)
	})
}
