package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
)

// occupied is a store where the id of the key "a" is also that of "b", whose device is there: that cannot be had by
// chance.
type occupied struct{ metadata.Store }

func (s occupied) Device(ctx context.Context, id iot.DeviceID) (iot.Device, error) {
	d, err := s.Store.Device(ctx, id)
	if err == nil && id == iot.KeyID("a") {
		d.Key = "b"
	}
	return d, err
}

// TestCollision: a key does not name the device of another key that has the same id.
func TestCollision(t *testing.T) {
	s := embedded(t)
	id := iot.KeyID("a")
	if _, err := s.metadata.EnsureDevices(t.Context(), []iot.Identity{{ID: id}}, iot.Admission{}); err != nil {
		t.Fatal(err)
	}
	s.metadata = occupied{s.metadata}
	handler := s.handler(t)
	for _, tt := range []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/api/devices/a/", "", http.StatusNotFound, "Not found"},
		{"PATCH", "/api/devices/a/", `{"name": "x"}`, http.StatusNotFound, "Not found"},
		{"DELETE", "/api/devices/a/", "", http.StatusNotFound, "Not found"},
		{"POST", "/api/devices/", `{"key": "a", "name": "x", "user": 1}`, http.StatusBadRequest, `{"key":["This key has the same id as the key \"b\", whose device exists."]}`},
		{"POST", "/api/devices/", `{"id": ` + id.String() + `, "name": "x", "user": 1}`, http.StatusBadRequest, "device with this id already exists."},
		{"GET", "/api/devices/" + id.String() + "/", "", http.StatusOK, `"key":"b"`},
	} {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.answer) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.path, w.Code, w.Body, tt.status, tt.answer)
		}
	}
}
