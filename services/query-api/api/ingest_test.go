package api

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/iot"
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

// TestFormReading posts a form, in which all is text.
func TestFormReading(t *testing.T) {
	s := embedded(t)
	s.startKafka(t)
	r := httptest.NewRequest("POST", "/api/readings/", strings.NewReader("device_id=12&temperature=21.5&door=open&humidity=&timestamp=1772366400"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	if s.handler(t).ServeHTTP(answer, r); answer.Code != 202 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	records := kafkatest.ReadAll(t, s.kafka.Brokers, s.kafka.Topic)
	readings, _ := event.Decode(&records[0], nil)
	want := iot.Reading{Device: 12, At: time.Unix(1772366400, 0).UTC(), Metrics: []iot.Metric{{Name: "temperature", Value: 21.5}}, Attributes: []iot.Attribute{{Name: "door", Value: "open"}}}
	if got := readings[0]; got.Device != want.Device || !got.At.Equal(want.At) || !slices.Equal(got.Metrics, want.Metrics) || !slices.Equal(got.Attributes, want.Attributes) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
