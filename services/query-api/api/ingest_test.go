package api

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

// TestSenMLDevice posts SenML to the paths of devices whose keys a topic would have more levels, or empty ones, for.
func TestSenMLDevice(t *testing.T) {
	s := embedded(t)
	s.startKafka(t)
	handler := s.handler(t)
	keys := []string{"kitchen-1", "a/b", "a/", "/a", "/", "a//b", "+", "#", "42"}
	for _, key := range keys {
		r := httptest.NewRequest("POST", "/api/devices/"+url.PathEscape(key)+"/readings/", strings.NewReader(`[{"n":"x","v":1}]`))
		r.Header.Set("Content-Type", senMLJSON)
		answer := httptest.NewRecorder()
		if handler.ServeHTTP(answer, r); answer.Code != 202 {
			t.Errorf("%q: %d %s", key, answer.Code, answer.Body)
		}
	}
	var got []string
	for _, rec := range kafkatest.ReadAll(t, s.kafka.Brokers, s.kafka.Topic) {
		readings, _ := event.Decode(&rec, nil)
		for _, r := range readings {
			name := r.Key
			if name == "" {
				name = r.Device.String()
			}
			got = append(got, name)
		}
	}
	if diff := cmp.Diff(keys, got); diff != "" {
		t.Error(diff)
	}
}
