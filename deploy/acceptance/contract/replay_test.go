package contract

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// deadLetter is a dead letter as the API shows it.
type deadLetter struct {
	ID          string  `json:"id"`
	Reason      string  `json:"reason"`
	Detail      string  `json:"detail"`
	Device      *int64  `json:"device_id"`
	Key         string  `json:"device_key"`
	Source      string  `json:"source"`
	Client      *string `json:"client_id"`
	Principal   *string `json:"principal"`
	Received    string  `json:"received_at"`
	Retained    bool    `json:"retained"`
	ContentType *string `json:"content_type"`
	Payload     string  `json:"payload"`
	Encoding    string  `json:"encoding"`
	ReplayedAt  *string `json:"replayed_at"`
	Readings    int     `json:"replayed_readings"`
}

// outcome is what became of a replay.
type outcome struct {
	ID       string  `json:"id"`
	Outcome  string  `json:"outcome"`
	Readings int     `json:"readings"`
	Reason   *string `json:"reason"`
	Detail   *string `json:"detail"`
}

// deadLettersOf waits for n dead letters of a device, and returns them, newest first.
func deadLettersOf(t *testing.T, device int64, n int) (found []deadLetter) {
	t.Helper()
	eventually(t, func() error {
		if found = get[[]deadLetter](t, fmt.Sprintf("/api/dead-letters/?device_id=%d", device)); len(found) != n {
			return fmt.Errorf("%d dead letters of device %d, want %d", len(found), device, n)
		}
		return nil
	})
	return found
}

// replay replays a dead letter with the payload, or as it is for "".
func replay(t *testing.T, id, payload string) outcome {
	t.Helper()
	if payload != "" {
		payload = `{"payload": ` + payload + `}`
	}
	return decode[outcome](t, call(t, http.MethodPost, "/api/dead-letters/"+id+"/replay/", payload), http.StatusOK)
}

func TestDeadLetterAPI(t *testing.T) {
	t.Run("what was rejected is listed with its reason, its bytes and where it came from", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), `{"temperature": "ü"}`)
		got := deadLettersOf(t, device, 1)[0]
		if got.Reason != "invalid_member" || got.Detail == "" || got.Source != topicOf(device) || got.Retained || got.ContentType != nil ||
			got.Payload != `{"temperature": "ü"}` || got.Encoding != "text" || got.ReplayedAt != nil || got.Readings != 0 {
			t.Errorf("%+v", got)
		}
		if age := time.Since(instant(t, got.Received)); age.Abs() > 2*time.Minute {
			t.Errorf("received %v ago", age)
		}
		if one := get[deadLetter](t, "/api/dead-letters/"+got.ID); fmt.Sprint(one.ID, one.Payload, one.Source) != fmt.Sprint(got.ID, got.Payload, got.Source) {
			t.Errorf("by its id it is %+v", one)
		}
	})
	t.Run("bytes that are no text are shown in base64", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		const payload = "{\"temperature\": 1, \"site\": \"Z\xfcrich\"}"
		publish(t, topicOf(device), payload)
		got := deadLettersOf(t, device, 1)[0]
		if b, err := base64.StdEncoding.DecodeString(got.Payload); err != nil || string(b) != payload || got.Encoding != "base64" {
			t.Errorf("%s %q", got.Encoding, got.Payload)
		}
	})
	t.Run("a corrected replay is a reading of its device and time, and stored once however often it is replayed", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), `{"temperature": "warm"}`)
		l := deadLettersOf(t, device, 1)[0]
		for n := 1; n <= 3; n++ {
			if got := replay(t, l.ID, `{"temperature": 21.5}`); got.Outcome != "replayed" || got.Readings != 1 || got.ID != l.ID {
				t.Fatalf("%+v", got)
			}
			produced(t, device, n)
			waitForConsumers(t)
			stored := readingsOf(t, device)
			if len(stored) != 1 || *stored[0].Temperature != 21.5 || stored[0].Time != l.Received || stored[0].Source != "server" {
				t.Fatalf("replayed %d times, and stored: %+v", n, stored)
			}
		}
		now := deadLettersOf(t, device, 1)[0]
		if now.ReplayedAt == nil || now.Readings != 1 || now.Payload != l.Payload {
			t.Errorf("the dead letter is now %+v", now)
		}
	})
	t.Run("an element of a batch that is corrected does not take the place of its neighbours", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), `[{"temperature": 1}, {"temperature": "2"}, {"temperature": 3}]`)
		l := deadLettersOf(t, device, 1)[0]
		if got := replay(t, l.ID, `"{\"temperature\": 2}"`); got.Outcome != "replayed" { // a text is as good
			t.Fatalf("%+v", got)
		}
		produced(t, device, 3)
		waitForConsumers(t)
		if got := readingsOf(t, device); len(got) != 3 {
			t.Errorf("stored: %+v", got)
		}
	})
	t.Run("what is rejected again is not sent, and no other dead letter comes of it", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), `{"temperature": "warm"}`)
		l := deadLettersOf(t, device, 1)[0]
		for payload, reason := range map[string]string{
			"": "invalid_member", `[{"temperature": 1}, {}]`: "no_metrics", `{"device_id": 7, "temperature": 1}`: "device_id_mismatch", `""`: "invalid_json",
		} {
			if got := replay(t, l.ID, payload); got.Outcome != "rejected" || got.Readings != 0 || got.Reason == nil || *got.Reason != reason || got.Detail == nil {
				t.Errorf("%s: %+v", payload, got)
			}
		}
		waitForConsumers(t)
		if again := deadLettersOf(t, device, 1)[0]; again.ReplayedAt != nil || len(readingsOf(t, device)) != 0 {
			t.Errorf("the dead letter is now %+v, stored: %+v", again, readingsOf(t, device))
		}
	})
	t.Run("a conflict is rejected while other values are stored for its time, and can be corrected", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), fmt.Sprintf(`{"temperature": 1, "timestamp": %q}`, at(1)), fmt.Sprintf(`{"temperature": 2, "timestamp": %q}`, at(1)))
		l := deadLettersOf(t, device, 1)[0]
		if l.Reason != "conflict" || l.Source != topicOf(device) || l.ContentType == nil || *l.ContentType != "application/json" || l.Encoding != "text" {
			t.Fatalf("%+v", l)
		}
		if got := replay(t, l.ID, ""); got.Outcome != "rejected" || *got.Reason != "conflict" {
			t.Errorf("as it is: %+v", got)
		}
		if got := replay(t, l.ID, fmt.Sprintf(`{"device_id": %d, "temperature": 2, "timestamp": %q}`, device, at(2))); got.Outcome != "replayed" {
			t.Errorf("with another time: %+v", got)
		}
		produced(t, device, 3)
		waitForConsumers(t)
		if got := readingsOf(t, device); len(got) != 2 {
			t.Errorf("stored: %+v", got)
		}
	})
	t.Run("a filter replays in portions, and says of each what became of it and how many remain", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), `{`, `{}`, `5`)
		want := deadLettersOf(t, device, 3)
		type portion struct {
			Results   []outcome `json:"results"`
			Remaining int       `json:"remaining"`
		}
		var results []outcome
		for page := sut.http + fmt.Sprintf("/api/dead-letters/replay/?device_id=%d&limit=2", device); page != ""; {
			a := call(t, http.MethodPost, page, "")
			got := decode[portion](t, a, http.StatusOK)
			results = append(results, got.Results...)
			if got.Remaining != 3-len(results) {
				t.Errorf("%d remain after %d of 3", got.Remaining, len(results))
			}
			page = a.next(t, page)
		}
		if len(results) != 3 {
			t.Fatalf("%+v", results)
		}
		for i, o := range results {
			if o.ID != want[i].ID || o.Outcome != "rejected" || *o.Reason != want[i].Reason {
				t.Errorf("%+v of %+v", o, want[i])
			}
		}
	})
	t.Run("filters by reason, device and time select, page, count and delete", func(t *testing.T) {
		t.Parallel()
		device := newDevice()
		publish(t, topicOf(device), `{`, `{}`, `{"a": "b"}`, `5`)
		all := deadLettersOf(t, device, 4)
		of := fmt.Sprintf("device_id=%d", device)
		if got := readAll[deadLetter](t, "/api/dead-letters/?limit=1&"+of); len(got) != 4 || got[0].ID != all[0].ID || got[3].ID != all[3].ID {
			t.Errorf("read: %+v", got)
		}
		since := 0 // several may have been received in one millisecond
		for _, l := range all {
			if l.Received >= all[1].Received {
				since++
			}
		}
		for filter, n := range map[string]int{
			"reason=no_metrics": 2, "reason=too_deep": 0, "since=" + all[1].Received: since, "until=" + all[1].Received: 4 - since, "replayed=true": 0, "replayed=false": 4,
		} {
			if got := get[[]deadLetter](t, "/api/dead-letters/?"+of+"&"+filter); len(got) != n {
				t.Errorf("%s: %d, want %d", filter, len(got), n)
			}
		}
		type reason struct {
			Reason   string `json:"reason"`
			Count    int    `json:"count"`
			Replayed int    `json:"replayed"`
		}
		type topic struct {
			Topic     string  `json:"topic"`
			Count     int     `json:"count"`
			Replayed  int     `json:"replayed"`
			Example   string  `json:"example"`
			LooksLike *string `json:"looks_like"`
			Hint      *string `json:"hint"`
		}
		type stats struct {
			Total    int      `json:"total"`
			Replayed int      `json:"replayed"`
			Reasons  []reason `json:"by_reason"`
			Topics   []topic  `json:"by_topic"`
		}
		got := get[stats](t, "/api/dead-letters/stats/?"+of)
		if len(got.Topics) != 1 || got.Topics[0].Topic != "sensors/+/data" || got.Topics[0].Count != 4 {
			t.Errorf("by topic %+v", got.Topics)
		}
		if got.Topics = nil; fmt.Sprint(got) != "{4 0 [{invalid_json 1 0} {no_metrics 2 0} {not_an_object 1 0}] []}" {
			t.Errorf("stats %v", got)
		}
		wantJSON(t, call(t, http.MethodDelete, "/api/dead-letters/?reason=no_metrics&"+of, ""), `{"deleted": 2}`)
		for _, l := range deadLettersOf(t, device, 2) {
			if a := call(t, http.MethodDelete, "/api/dead-letters/"+l.ID+"/", ""); a.status != http.StatusNoContent {
				t.Errorf("DELETE: %d %s", a.status, a.body)
			}
			wantDetail(t, call(t, http.MethodGet, "/api/dead-letters/"+l.ID+"/", ""), http.StatusNotFound)
			wantDetail(t, call(t, http.MethodPost, "/api/dead-letters/"+l.ID+"/replay/", ""), http.StatusNotFound)
		}
	})
	t.Run("what is wrong with a request is said", func(t *testing.T) {
		t.Parallel()
		wantFields(t, call(t, http.MethodGet, "/api/dead-letters/?limit=0&device_id=%01&since=noon&until=1&replayed=yes&cursor=1", ""),
			"limit", "device_id", "since", "until", "replayed", "cursor")
		wantFields(t, call(t, http.MethodDelete, "/api/dead-letters/", ""), "non_field_errors")
		wantFields(t, call(t, http.MethodPost, "/api/dead-letters/replay/?limit=1001", ""), "limit")
		wantDetail(t, call(t, http.MethodGet, "/api/dead-letters/1/", ""), http.StatusNotFound)
		wantDetail(t, call(t, http.MethodPut, "/api/dead-letters/", "{}"), http.StatusMethodNotAllowed)
		wantDetail(t, call(t, http.MethodGet, "/api/dead-letters/replay/", ""), http.StatusMethodNotAllowed)
	})
	t.Run("the dead letter of a Kafka record has its key, whatever device its value names", func(t *testing.T) {
		t.Parallel()
		key, device := newDevice(), newDevice()
		source := produce(t, fmt.Sprint(key), fmt.Sprintf(`{"device_id": %d}`, device))
		if got := string(waitForDeadLetters(t, source, 1)[0].Key); got != fmt.Sprint(key) {
			t.Errorf("key %s, want %d", got, key)
		}
		if got := deadLettersOf(t, device, 1)[0]; got.Source != source {
			t.Errorf("%+v", got)
		}
	})
}
