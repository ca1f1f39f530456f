package api

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/mapping"
)

// messages is asyncapi.yaml, as far as the tests look.
type messages struct {
	AsyncAPI string
	Channels map[string]struct {
		Address  string
		Servers  []reference
		Messages map[string]reference
	}
	Components struct {
		Parameters map[string]struct{ Examples []string }
		Messages   map[string]struct {
			Examples []struct{ Payload json.RawMessage }
		}
	}
}

type reference struct {
	Ref string `json:"$ref"`
}

func loadMessages(t *testing.T) (m messages) {
	t.Helper()
	w := get(embedded(t).handler(t), "/api/asyncapi.json")
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || w.Code != http.StatusOK || m.AsyncAPI != "3.0.0" {
		t.Fatalf("%d, version %q, %v", w.Code, m.AsyncAPI, err)
	}
	return m
}

// addresses returns those of the channels of a server, sorted.
func (m messages) addresses(server string) (all []string) {
	for _, c := range m.Channels {
		if slices.Equal(c.Servers, []reference{{"#/servers/" + server}}) {
			all = append(all, c.Address)
		}
	}
	slices.Sort(all)
	return all
}

// TestChannels: the channels of MQTT are the topics that the presets read, and those of Kafka the topics that there are.
func TestChannels(t *testing.T) {
	m := loadMessages(t)
	rule, err := json.Marshal([]any{map[string]any{"name": "channels", "ignore": true, "topic": m.topics()}})
	if err != nil {
		t.Fatal(err)
	}
	channels, err := mapping.Parse("asyncapi.yaml", rule, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	want, got := presets(t).Filters(), channels.Filters()
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("topics of the presets (-) and of the channels in asyncapi.yaml (+):\n%s", diff)
	}
	cfg := kafka.Config{Topic: "raw-data"}
	if diff := cmp.Diff([]string{cfg.Topic, cfg.CredentialsTopic(), cfg.DeadLetterTopic(), cfg.IgnoredTopic(), cfg.RefusedTopic(), cfg.SystemTopic(), cfg.TraceTopic()}, m.addresses("kafka")); diff != "" {
		t.Errorf("topics of Kafka (-) and channels in asyncapi.yaml (+):\n%s", diff)
	}
}

var parameter = regexp.MustCompile(`\{\w+\}`)

// topics returns the addresses of MQTT as a rule has them: {levels} is the parameter that stands for several.
func (m messages) topics() (topics []string) {
	for _, address := range m.addresses("mqtt") {
		address = strings.ReplaceAll(address, "{levels}", "{levels...}")
		topics = append(topics, parameter.ReplaceAllString(address, "+"))
	}
	return topics
}

// TestExamplesOfMessages: what the description shows is read, on each of the channels that have it.
func TestExamplesOfMessages(t *testing.T) {
	m, rules := loadMessages(t), presets(t)
	shown := 0
	for name, c := range m.Channels {
		if c.Servers[0].Ref != "#/servers/mqtt" {
			continue
		}
		topic := parameter.ReplaceAllStringFunc(c.Address, func(name string) string {
			return m.Components.Parameters[strings.Trim(name, "{}")].Examples[0]
		})
		route, ok := rules.Match(topic)
		if !ok {
			t.Errorf("%s: nobody reads %s", name, topic)
			continue
		}
		for message := range c.Messages {
			for _, example := range m.Components.Messages[message].Examples {
				var d mapping.Decoder
				var out mapping.Result
				for d.Start(route, mapping.Message{Payload: example.Payload, Received: time.Now()}); d.More(); {
					d.Next(&out)
				}
				if len(out.Readings) == 0 || len(out.Rejected)+len(out.Omitted) > 0 {
					t.Errorf("%s: %s on %s becomes %+v", name, example.Payload, topic, out)
				}
				shown++
			}
		}
	}
	if shown < 10 {
		t.Errorf("only %d examples", shown)
	}
}
