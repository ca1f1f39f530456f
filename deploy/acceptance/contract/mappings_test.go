package contract

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// explanation is what a message would become.
type explanation struct {
	Rule     *string   `json:"rule"`
	File     *string   `json:"file"`
	Detail   *string   `json:"detail"`
	Readings []reading `json:"readings"`
	Rejected []struct {
		Reason  string `json:"reason"`
		Detail  string `json:"detail"`
		Payload string `json:"payload"`
		Device  *int64 `json:"device_id"`
	} `json:"rejected"`
	Omitted []struct {
		Member  string `json:"member"`
		Reason  string `json:"reason"`
		Example string `json:"example"`
	} `json:"omitted"`
	Complete bool `json:"complete"`
}

func explain(t *testing.T, body string) explanation {
	t.Helper()
	return decode[explanation](t, call(t, http.MethodPost, "/api/mappings/test/", body), http.StatusOK)
}

func TestMappings(t *testing.T) {
	device := newDevice()
	t.Run("what a message would become is shown, and nothing of it is kept", func(t *testing.T) {
		t.Parallel()
		payload := `{"temperature": 21.5, "timestamp": "2026-01-02T03:04:05Z", "bad": NaN}`
		for _, message := range []string{
			fmt.Sprintf(`"payload": %q`, payload), fmt.Sprintf(`"payload_base64": %q`, base64.StdEncoding.EncodeToString([]byte(payload))),
		} {
			e := explain(t, fmt.Sprintf(`{"topic": "sensors/%d/data", %s}`, device, message))
			if e.Rule == nil || len(e.Readings) != 1 || e.Readings[0].Device != device || e.Readings[0].Time != "2026-01-02T03:04:05.000Z" || *e.Readings[0].Temperature != 21.5 || !e.Complete {
				t.Errorf("%s: %+v", message, e)
			}
			if len(e.Omitted) != 1 || e.Omitted[0].Member != "bad" || e.Omitted[0].Example != "NaN" {
				t.Errorf("%s leaves out %+v", message, e.Omitted)
			}
		}
		waitForConsumers(t)
		if got := readingsOf(t, device); len(got) != 0 {
			t.Errorf("%+v is stored", got)
		}
	})
	t.Run("or the reason why not", func(t *testing.T) {
		t.Parallel()
		e := explain(t, fmt.Sprintf(`{"topic": "sensors/%d/data", "payload": "{junk"}`, device))
		if len(e.Readings) != 0 || len(e.Rejected) != 1 || e.Rejected[0].Reason != "invalid_json" || e.Rejected[0].Payload != "{junk" {
			t.Errorf("%+v", e)
		}
		if e := explain(t, `{"topic": "nobody/reads/this", "payload": "1"}`); e.Rule != nil || e.Detail == nil || len(e.Readings) != 0 {
			t.Errorf("%+v", e)
		}
	})
	t.Run("a rule in the request is used in place of those that there are", func(t *testing.T) {
		t.Parallel()
		e := explain(t, fmt.Sprintf(`{"topic": "nobody/%d", "payload": {"t": "21.5"}, "rule": {"name": "mine", "topic": "nobody/{device}",
			"values": {"numbers_in_strings": true}, "rename": {"t": "temperature"}}}`, device))
		if e.Rule == nil || *e.Rule != "mine" || len(e.Readings) != 1 || e.Readings[0].Temperature == nil || *e.Readings[0].Temperature != 21.5 {
			t.Errorf("%+v", e)
		}
		wantFields(t, call(t, http.MethodPost, "/api/mappings/test/", `{"topic": "t", "payload": "1", "rule": {"name": "mine", "colour": "red"}}`), "rule")
		wantFields(t, call(t, http.MethodPost, "/api/mappings/test/", `{}`), "topic", "payload")
	})
}

// ignoredTopic is one that nobody reads, or with a member that readings are kept without.
type ignoredTopic struct {
	Topic   string  `json:"topic"`
	Member  *string `json:"member"`
	Client  *string `json:"client_id"`
	Count   int     `json:"count"`
	Last    string  `json:"last"`
	Example string  `json:"example"`
	Hint    *string `json:"hint"`
}

// TestIgnoredList is not parallel: it forgets what is ignored.
func TestIgnoredList(t *testing.T) {
	device := newDevice()
	topic := topicOf(device)
	find := func(all []ignoredTopic, topic string) int {
		return slices.IndexFunc(all, func(i ignoredTopic) bool { return i.Topic == topic })
	}
	await := func(topic string) (found ignoredTopic) {
		t.Helper()
		eventually(t, func() error {
			all := get[[]ignoredTopic](t, "/api/ignored/")
			i := find(all, topic)
			if i < 0 {
				return fmt.Errorf("%s is none of %d", topic, len(all))
			}
			found = all[i]
			return nil
		})
		return found
	}
	publish(t, topic, `{"temperature": 21.5, "bad": NaN}`)
	got := await(topic)
	if instant(t, got.Last); got.Member == nil || *got.Member != "bad" || got.Count != 1 || got.Example != "NaN" || got.Hint == nil {
		t.Errorf("%+v", got)
	}
	nobodys := fmt.Sprintf("nobody/reads/%d", device)
	if sut.listen { // where Telltale subscribes, it does not come
		publish(t, nobodys, strings.Repeat("x", 1000))
		if got := await(nobodys); got.Member != nil || got.Count != 1 || !strings.HasPrefix(got.Example, "xxx") || len(got.Example) > 512 {
			t.Errorf("%+v", got)
		}
	}
	if a := call(t, http.MethodDelete, "/api/ignored/", ""); a.status != http.StatusNoContent {
		t.Errorf("DELETE: %d %s", a.status, a.body)
	}
	eventually(t, func() error { // the replicas of the API read what is new once a second
		for range 5 {
			if all := get[[]ignoredTopic](t, "/api/ignored/"); find(all, topic) >= 0 || find(all, nobodys) >= 0 {
				return fmt.Errorf("still there: %+v", all)
			}
		}
		return nil
	})
}
