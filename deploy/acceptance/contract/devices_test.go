package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

type device struct {
	ID        int64   `json:"id"`
	Name      string  `json:"name"`
	User      int64   `json:"user"`
	Location  *string `json:"location"`
	CreatedAt string  `json:"created_at"`
	Key       *string `json:"key"`

	Status       string  `json:"status"`
	LastSeen     *string `json:"last_seen"`
	OfflineAfter float64 `json:"offline_after"` // s
}

func sameDevice(a, b device) bool {
	return a.ID == b.ID && a.Name == b.Name && a.User == b.User && a.CreatedAt == b.CreatedAt &&
		(a.Location == nil) == (b.Location == nil) && (a.Location == nil || *a.Location == *b.Location)
}

func devicePath(id int64) string { return fmt.Sprintf("/api/devices/%d/", id) }

// newOwnedDevice creates a device under an id of this run.
func newOwnedDevice(t *testing.T, owner int64) device {
	t.Helper()
	return decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"id": newDevice(), "name": "d", "user": owner, "location": "here"})), http.StatusCreated)
}

func TestDevices(t *testing.T) {
	t.Run("POST creates a device under the id that it names", func(t *testing.T) {
		t.Parallel()
		owner, id := newUser(t), newDevice()
		got := decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"id": id, "name": "Greenhouse", "user": owner.ID, "location": "North wall"})), http.StatusCreated)
		if got.ID != id || got.Name != "Greenhouse" || got.User != owner.ID || got.Location == nil || *got.Location != "North wall" {
			t.Errorf("%+v", got)
		}
		instant(t, got.CreatedAt)
		if again := get[device](t, devicePath(id)); !sameDevice(again, got) {
			t.Errorf("GET shows %+v, POST %+v", again, got)
		}
		if all := readAll[device](t, "/api/devices/?limit=10000"); !slices.ContainsFunc(all, func(d device) bool { return sameDevice(d, got) }) {
			t.Errorf("the list lacks %+v", got)
		}
		wantFields(t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"id": id, "name": "Second", "user": owner.ID})), "id")
	})
	t.Run("POST needs no id and no location", func(t *testing.T) {
		t.Parallel()
		owner := newUser(t)
		a := decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"name": "a", "user": owner.ID})), http.StatusCreated)
		b := decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"name": "a", "user": owner.ID})), http.StatusCreated)
		if a.ID < 1 || b.ID < 1 || a.ID == b.ID {
			t.Errorf("ids %d and %d", a.ID, b.ID)
		}
	})
	t.Run("?user= filters", func(t *testing.T) {
		t.Parallel()
		owner, other := newUser(t), newUser(t)
		want := []int64{newOwnedDevice(t, owner.ID).ID, newOwnedDevice(t, owner.ID).ID, newOwnedDevice(t, owner.ID).ID}
		newOwnedDevice(t, other.ID)
		for _, path := range []string{fmt.Sprintf("/api/devices/?user=%d", owner.ID), fmt.Sprintf("/api/devices/?limit=2&user=%d", owner.ID)} {
			var got []int64
			for _, d := range readAll[device](t, path) {
				got = append(got, d.ID)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", path, got, want)
			}
		}
		wantFields(t, call(t, http.MethodGet, "/api/devices/?user=ada", ""), "user")
	})
	t.Run("PUT replaces", func(t *testing.T) {
		t.Parallel()
		owner, other := newUser(t), newUser(t)
		want := newOwnedDevice(t, owner.ID)
		want.Name, want.User = "new", other.ID
		got := decode[device](t, call(t, http.MethodPut, devicePath(want.ID), object(map[string]any{"name": "new", "user": other.ID, "location": "here"})), http.StatusOK)
		if again := get[device](t, devicePath(want.ID)); !sameDevice(got, want) || !sameDevice(again, want) {
			t.Errorf("PUT %+v, GET %+v, want %+v", got, again, want)
		}
		wantFields(t, call(t, http.MethodPut, devicePath(want.ID), `{}`), "name", "user")
	})
	t.Run("PATCH changes what it names", func(t *testing.T) {
		t.Parallel()
		want := newOwnedDevice(t, newUser(t).ID)
		want.Name = "new"
		got := decode[device](t, call(t, http.MethodPatch, devicePath(want.ID), `{"name": "new"}`), http.StatusOK)
		if again := get[device](t, devicePath(want.ID)); !sameDevice(got, want) || !sameDevice(again, want) {
			t.Errorf("PATCH %+v, GET %+v, want %+v", got, again, want)
		}
	})
	t.Run("readings stay when a device goes", func(t *testing.T) {
		t.Parallel()
		id := newDevice()
		publish(t, topicOf(id), `{"temperature": 1}`)
		produced(t, id, 1)
		waitForConsumers(t)
		if got := call(t, http.MethodDelete, devicePath(id), ""); got.status != http.StatusNoContent || got.body != "" {
			t.Errorf("%d %q, want 204 and no body", got.status, got.body)
		}
		wantDetail(t, call(t, http.MethodGet, devicePath(id), ""), http.StatusNotFound)
		if got := readingsOf(t, id); len(got) != 1 {
			t.Errorf("%d readings, want 1", len(got))
		}
	})
}

func TestDeviceFields(t *testing.T) {
	owner := newUser(t)
	target := newOwnedDevice(t, owner.ID)
	long := strings.Repeat("é", 256)
	for _, test := range []struct {
		name   string
		fields map[string]any
		want   []string
	}{
		{"all wrong fields at once: missing", map[string]any{}, []string{"name", "user"}},
		{"all wrong fields at once: null", map[string]any{"name": nil, "user": nil}, []string{"name", "user"}},
		{"all wrong fields at once: wrong types", map[string]any{"name": []int{1}, "user": map[string]int{"id": 1}, "location": []int{}}, []string{"name", "user", "location"}},
		{"all wrong fields at once: an id too", map[string]any{"id": "kitchen", "name": "", "user": "ada"}, []string{"id", "name", "user"}},
		{"all wrong fields at once: values that only the store knows", map[string]any{"id": target.ID, "name": long, "user": int64(1) << 50}, []string{"id", "name", "user"}},
		{"no user", map[string]any{"name": "d"}, []string{"user"}},
		{"a user that does not exist", map[string]any{"name": "d", "user": int64(1) << 50}, []string{"user"}},
		{"a user of 0", map[string]any{"name": "d", "user": 0}, []string{"user"}},
		{"a name of white space", map[string]any{"name": " \t", "user": owner.ID}, []string{"name"}},
		{"a name of 256 characters", map[string]any{"name": long, "user": owner.ID}, []string{"name"}},
		{"an id of 0", map[string]any{"id": 0, "name": "d", "user": owner.ID}, []string{"id"}},
		{"a negative id", map[string]any{"id": -1, "name": "d", "user": owner.ID}, []string{"id"}},
		{"an id with a fraction", map[string]any{"id": 1.5, "name": "d", "user": owner.ID}, []string{"id"}},
		{"an id of 2^53", map[string]any{"id": int64(1) << 53, "name": "d", "user": owner.ID}, []string{"id"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantFields(t, call(t, http.MethodPost, "/api/devices/", object(test.fields)), test.want...)
		})
	}
	t.Run("a name has up to 255 characters, not bytes", func(t *testing.T) {
		t.Parallel()
		id, name := newDevice(), strings.Repeat("é", 255)
		got := decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"id": id, "name": name, "user": owner.ID})), http.StatusCreated)
		if got.Name != name {
			t.Errorf("name %q", got.Name)
		}
	})
}
