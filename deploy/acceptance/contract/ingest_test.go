package contract

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// ingested is the answer to a request with readings.
type ingested struct {
	Detail   string `json:"detail"`
	Accepted int    `json:"accepted"`
	Rejected []struct {
		Index  int    `json:"index"`
		Reason string `json:"reason"`
		Detail string `json:"detail"`
	} `json:"rejected"`
}

func TestReadingsOverHTTP(t *testing.T) {
	t.Run("a reading is accepted when Kafka has it, and is stored once however often it is sent", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		body := fmt.Sprintf(`{"device_id": %d, "temperature": 21.5, "timestamp": %q}`, device, at(1))
		for range 2 {
			if got := decode[ingested](t, call(t, "POST", "/api/readings/", body), http.StatusAccepted); got.Accepted != 1 || len(got.Rejected) != 0 {
				t.Errorf("%+v", got)
			}
		}
		produced(t, device, 2)
		waitForConsumers(t)
		if got := readingsOf(t, device); len(got) != 1 || *got[0].Temperature != 21.5 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("what is rejected of a batch is named, and is a dead letter; its neighbours are stored", func(t *testing.T) {
		t.Parallel()
		key := newKey(t, "kitchen/N")
		path := keyPath(key) + "readings/"
		got := decode[ingested](t, call(t, "POST", path, `[{"x": 1}, {"room": "north"}, {"x": 2}, 5]`), http.StatusAccepted)
		if len(got.Rejected) != 2 || got.Rejected[0].Index != 1 || got.Rejected[0].Reason != "no_metrics" || got.Rejected[1].Index != 3 ||
			got.Rejected[1].Reason != "not_an_object" || got.Rejected[1].Detail == "" || got.Accepted != 2 {
			t.Errorf("%+v", got)
		}
		produced(t, keyID(key), 2)
		dead := waitForDeadLetters(t, path, 2)
		if client := dead[0].headers["client_id"]; !strings.HasPrefix(client, "http:") {
			t.Errorf("the client of a dead letter is %q", client)
		}
		waitForConsumers(t)
		if got := get[[]reading](t, path); len(got) != 2 || got[0].Key != key {
			t.Errorf("%+v", got)
		}
	})
	t.Run("a body of which nothing is a reading is a 400 with the reasons", func(t *testing.T) {
		t.Parallel()
		for body, reason := range map[string]string{`{"temperature": `: "invalid_json", `{}`: "no_metrics", `[]`: "no_metrics"} {
			path := devicePath(newDevice()) + "readings/"
			a := call(t, "POST", path, body)
			if got := decode[ingested](t, a, http.StatusBadRequest); got.Detail == "" || got.Accepted != 0 || len(got.Rejected) != 1 || got.Rejected[0].Reason != reason {
				t.Errorf("%s: %s, want %s", body, a.body, reason)
			}
			if dead := waitForDeadLetters(t, path, 1); string(dead[0].Value) != body {
				t.Errorf("the dead letter of %s is %q", body, dead[0].Value)
			}
		}
	})
	t.Run("a batch of 1 MiB, in gzip, is stored", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		batch := `[{"temperature": 1}, {"temperature": 2}` + strings.Repeat(" ", 1<<20)
		batch = batch[:1<<20-1] + "]"
		var zipped bytes.Buffer
		w := gzip.NewWriter(&zipped)
		_, _ = w.Write([]byte(batch))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		path := devicePath(device) + "readings/"
		if got := decode[ingested](t, call(t, "POST", path, zipped.String(), "Content-Encoding", "gzip"), http.StatusAccepted); got.Accepted != 2 {
			t.Errorf("%+v", got)
		}
		produced(t, device, 2)
		wantDetail(t, call(t, "POST", path, batch+" "), http.StatusRequestEntityTooLarge)
	})
	t.Run("SenML is read as on its topics", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		for path, pack := range map[string]string{
			"/api/readings/":                 fmt.Sprintf(`[{"bn":"%d/","n":"temperature","v":21.5}]`, device),
			devicePath(device) + "readings/": `[{"n":"temperature","v":21.5}]`,
		} {
			if got := decode[ingested](t, call(t, "POST", path, pack, "Content-Type", "application/senml+json"), http.StatusAccepted); got.Accepted != 1 {
				t.Errorf("%s: %+v", path, got)
			}
		}
		produced(t, device, 2)
	})
	t.Run("a webhook is read by the rule for the topic that stands behind", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		posted, asked := fmt.Sprintf("/api/webhooks/v3/farm/devices/%d/up", device), fmt.Sprintf("/api/webhooks/sensors/%d/data?temperature=21.5", device)
		decode[ingested](t, call(t, "POST", posted, `{"uplink_message":{"decoded_payload":{"temperature":7.5}}}`), http.StatusAccepted)
		decode[ingested](t, call(t, "GET", asked, ""), http.StatusAccepted)
		produced(t, device, 2)
		wantDetail(t, call(t, "GET", asked, "", "Accept-Language", "en"), http.StatusForbidden)
		wantDetail(t, call(t, "POST", "/api/webhooks/of/nobody", `{"x": 1}`), http.StatusNotFound)
	})
	t.Run("another media type is a 415", func(t *testing.T) {
		t.Parallel()
		for _, kind := range []string{"text/plain", ""} {
			wantDetail(t, call(t, "POST", "/api/readings/", `{"device_id": 1, "x": 1}`, "Content-Type", kind), http.StatusUnsupportedMediaType)
		}
		wantDetail(t, call(t, "POST", "/api/readings/", `{"device_id": 1, "x": 1}`, "Content-Type", "application/x-www-form-urlencoded"), http.StatusBadRequest)
	})
}
