package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/metadata"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// TestDeviceKeys: they are found of as many devices as are asked for, among others, and of none while their store is away.
func TestDeviceKeys(t *testing.T) {
	s := embedded(t)
	var seen []iot.Identity
	for i := range 3 * smallPage {
		key := fmt.Sprint("device ", i)
		seen = append(seen, iot.Identity{ID: iot.KeyID(key), Key: key})
	}
	if _, err := s.metadata.EnsureDevices(t.Context(), seen, iot.Admission{}); err != nil {
		t.Fatal(err)
	}
	asked := []iot.DeviceID{1, 42, iot.MaxDeviceID, iot.KeyID("nobody")}
	for _, d := range seen[:2*smallPage] {
		asked = append(asked, d.ID)
	}
	keys, err := findKeys(t.Context(), s.metadata, asked)
	if err != nil || len(keys) != 2*smallPage {
		t.Errorf("%d keys, %v", len(keys), err)
	}
	for _, d := range seen[:2*smallPage] {
		if keys[d.ID] != d.Key {
			t.Fatalf("%d has the key %q, not %q", d.ID, keys[d.ID], d.Key)
		}
	}

	for _, tt := range troubles {
		if s.metadata, err = metadata.Open(tt.urls(t).metadata, tlsfiles.Files{}); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.handler(t).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/devices/kitchen-1/series/?metric=temperature", nil))
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "device_key") {
			t.Errorf("a store of devices that %s: %d %s", tt.name, w.Code, w.Body)
		}
		_ = s.metadata.Close()
	}
}
