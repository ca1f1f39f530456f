package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

// TestKafkaAccount reads topics of the embedded Kafka with a token as the password, and not without. What services tell each other
// is for admins, and who is refused is shown to operators.
func TestKafkaAccount(t *testing.T) {
	t.Parallel()
	s, dir := freeAddrs(t), t.TempDir()
	s["AUTH"] = "on"
	p := start(t, dir, s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	token := func(role string) string {
		t.Helper()
		printed, log, exit := createToken(t, dir, "create", "--role="+role)
		if exit != 0 {
			t.Fatal(log)
		}
		return strings.TrimSpace(printed)
	}
	viewer, admin := token("viewer"), token("admin")
	// look returns the topics that are shown to who shows password, and what comes of reading topic.
	look := func(password, topic string) (topics []string, err error) {
		cfg := kafkatest.SaramaConfig()
		cfg.Metadata.Retry.Max = 0
		if password != "" {
			cfg.Net.SASL.Enable, cfg.Net.SASL.Mechanism, cfg.Net.SASL.User, cfg.Net.SASL.Password = true, sarama.SASLTypePlaintext, "any", password
		}
		client, err := sarama.NewClient([]string{s["KAFKA_LISTEN_ADDR"]}, cfg)
		if err != nil {
			return nil, err
		}
		defer func() { _ = client.Close() }()
		if topics, err = client.Topics(); err != nil {
			return nil, err
		}
		_, err = client.GetOffset(topic, 0, sarama.OffsetNewest)
		return topics, err
	}
	for _, password := range []string{"", "tt_guessed"} {
		if _, err := look(password, "raw-data"); err == nil {
			t.Errorf("the topic is shown to who shows %q", password)
		}
	}
	if topics, err := look(viewer, "raw-data"); err != nil || strings.Contains(strings.Join(topics, " "), "raw-data.credentials") {
		t.Errorf("a viewer sees %v, %v", topics, err)
	}
	for _, topic := range []string{"raw-data.credentials", "raw-data.refused", "raw-data.trace", "raw-data.system", "raw-data.ignored"} {
		if _, err := look(viewer, topic); !errors.Is(err, sarama.ErrTopicAuthorizationFailed) {
			t.Errorf("%s for a viewer: %v", topic, err)
		}
		if _, err := look(admin, topic); err != nil {
			t.Errorf("%s for an admin: %v", topic, err)
		}
	}

	ask := func(path string, into any) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.api+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+admin)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	kafkatest.Eventually(t, 30*time.Second, "who was refused is shown, and that the tokens were used", func() bool {
		var refused []struct{ Surface, Why, Example string }
		ask("/api/auth/refused/", &refused)
		why := map[string]bool{}
		for _, r := range refused {
			why[r.Surface+" "+r.Why] = true
		}
		var tokens []struct {
			LastUsed *time.Time `json:"last_used_at"`
		}
		ask("/api/tokens/", &tokens)
		used := len(tokens) >= 2
		for _, token := range tokens {
			used = used && token.LastUsed != nil
		}
		return used && why["kafka no_credentials"] && why["kafka unknown_token"] && why["kafka topic"]
	})
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
