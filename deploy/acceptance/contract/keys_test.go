package contract

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// keyID is the id of the device with a key, as the contract says.
func keyID(key string) int64 {
	sum := sha256.Sum256([]byte("telltale-key-v1\x00" + key))
	return 1<<52 + int64(binary.BigEndian.Uint64(sum[:])>>12)
}

// newKey returns a key that no device has, from its pattern, and removes the device in the end.
func newKey(t *testing.T, pattern string) string {
	t.Helper()
	key := strings.ReplaceAll(pattern, "N", fmt.Sprint(newDevice()))
	t.Cleanup(func() { // call does nothing any more
		request, err := http.NewRequest(http.MethodDelete, sut.http+devicePath(keyID(key)), nil)
		if err != nil {
			t.Error(err)
			return
		}
		if response, err := client.Do(request); err != nil {
			t.Error(err)
		} else {
			_ = response.Body.Close()
		}
	})
	return key
}

func keyPath(key string) string { return "/api/devices/" + url.PathEscape(key) + "/" }

func TestKeys(t *testing.T) {
	for _, test := range []struct{ name, pattern string }{
		{"letters and digits", "kitchen-N"}, {"a number with a zero in front", "0N"}, {"a hexadecimal address", "A4:CF:12:N"},
		{"spaces and a percent sign", "kitchen N 1%"}, {"other letters", "küche 漢字 N"}, {"dots", "..N.."},
	} {
		t.Run("a key in the topic and in every path: "+test.name, func(t *testing.T) {
			t.Parallel()
			key := newKey(t, test.pattern)
			id := keyID(key)
			publish(t, "sensors/"+key+"/data", `{"temperature": 21.5}`)
			produced(t, id, 1)
			waitForConsumers(t)
			check := func(r reading, path string) {
				t.Helper()
				if r.Device != id || r.Key != key || r.Temperature == nil || *r.Temperature != 21.5 {
					t.Errorf("%s: %+v, want one of %d, %q, with 21.5 °C", path, r, id, key)
				}
			}
			for _, path := range []string{keyPath(key) + "readings/", devicePath(id) + "readings/", "/api/readings/?device_id=" + url.QueryEscape(key)} {
				if got := get[[]reading](t, path); len(got) != 1 {
					t.Errorf("%s: %+v", path, got)
				} else {
					check(got[0], path)
				}
			}
			for _, path := range []string{keyPath(key) + "latest/", devicePath(id) + "latest/", "/api/latest/" + url.PathEscape(key) + "/"} {
				check(get[reading](t, path), path)
			}
			d := get[device](t, keyPath(key))
			if d.ID != id || d.Key == nil || *d.Key != key || d.Name != key {
				t.Errorf("registered as %+v", d)
			}
			if got := call(t, http.MethodPatch, keyPath(key), `{"location": "cellar"}`); got.status != http.StatusOK {
				t.Errorf("PATCH: %d %s", got.status, got.body)
			}
			if got := call(t, http.MethodDelete, strings.TrimSuffix(keyPath(key), "/"), ""); got.status != http.StatusNoContent {
				t.Errorf("DELETE: %d %s", got.status, got.body)
			}
			wantDetail(t, call(t, http.MethodGet, keyPath(key), ""), http.StatusNotFound)
		})
	}
	t.Run("a key in the payload, with a slash", func(t *testing.T) {
		t.Parallel()
		key := newKey(t, "plant/N/line 2")
		publish(t, "sensors/data", object(map[string]any{"device_id": key, "temperature": 1}))
		produced(t, keyID(key), 1)
		waitForConsumers(t)
		if got := get[reading](t, keyPath(key)+"latest/"); got.Key != key || got.Device != keyID(key) {
			t.Errorf("%+v", got)
		}
		if d := get[device](t, keyPath(key)); d.Key == nil || *d.Key != key {
			t.Errorf("%+v", d)
		}
	})
	t.Run("POST takes a key, which counts to the byte and stays", func(t *testing.T) {
		t.Parallel()
		key, owner := newKey(t, "a/N "), newUser(t)
		got := decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"key": key, "name": "Greenhouse", "user": owner.ID})), http.StatusCreated)
		if got.ID != keyID(key) || got.Key == nil || *got.Key != key || got.Name != "Greenhouse" {
			t.Errorf("%+v", got)
		}
		if again := get[device](t, keyPath(key)); !sameDevice(again, got) {
			t.Errorf("GET shows %+v, POST %+v", again, got)
		}
		wantDetail(t, call(t, http.MethodGet, keyPath(strings.TrimSpace(key)), ""), http.StatusNotFound)
		wantFields(t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"key": key, "name": "Second", "user": owner.ID})), "key")
		wantFields(t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"key": key + "x", "id": 7, "name": "Other", "user": owner.ID})), "id", "key")
		wantFields(t, call(t, http.MethodPatch, keyPath(key), object(map[string]any{"key": key + "x"})), "key")
		wantFields(t, call(t, http.MethodPut, devicePath(got.ID), object(map[string]any{"key": "x", "name": "", "user": owner.ID})), "key", "name")
	})
	t.Run("POST takes a key that is an id for that id", func(t *testing.T) {
		t.Parallel()
		id, owner := newDevice(), newUser(t)
		got := decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"key": fmt.Sprint(id), "name": "d", "user": owner.ID})), http.StatusCreated)
		if got.ID != id || got.Key != nil {
			t.Errorf("%+v", got)
		}
	})
	t.Run("an id that the API gives is no key's", func(t *testing.T) {
		t.Parallel()
		key, owner := newKey(t, "b-N"), newUser(t)
		decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"key": key, "name": "d", "user": owner.ID})), http.StatusCreated)
		if got := decode[device](t, call(t, http.MethodPost, "/api/devices/", object(map[string]any{"name": "d", "user": owner.ID})), http.StatusCreated); got.ID >= 1<<52 {
			t.Errorf("%+v", got)
		}
	})
	for _, key := range []string{strings.Repeat("k", 256), "a\n", "a\x00", "\xff", "\u0085"} {
		t.Run(fmt.Sprintf("%.20q is no key", key), func(t *testing.T) {
			t.Parallel()
			wantDetail(t, call(t, http.MethodGet, keyPath(key), ""), http.StatusNotFound)
			wantDetail(t, call(t, http.MethodGet, keyPath(key)+"latest/", ""), http.StatusNotFound)
			wantFields(t, call(t, http.MethodGet, "/api/readings/?device_id="+url.QueryEscape(key), ""), "device_id")
			wantFields(t, call(t, http.MethodGet, "/api/dead-letters/?device_id="+url.QueryEscape(key), ""), "device_id")
		})
	}
}
