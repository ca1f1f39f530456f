package promql

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// TestLargePatterns: a short regular expression that stands for a very long one is refused before it takes memory for that.
func TestLargePatterns(t *testing.T) {
	for name, pattern := range map[string]string{
		"repeats":           strings.Repeat("(?:[a-z]?){1000}", 1200),
		"is long":           strings.Repeat("a", maxPattern+1),
		"has many branches": strings.Repeat("a|b.|", maxPattern/2),
	} {
		if _, err := ParseSelectors(`t{name=~"` + pattern + `"}`); err == nil || !strings.Contains(err.Error(), "a shorter regular expression") {
			t.Errorf("a pattern that %s: %.200v", name, err)
		}
	}
	ids := strings.TrimSuffix(strings.Repeat("123456|", 1000), "|") // as Grafana has them of a choice of many
	for _, pattern := range []string{ids, ".*", "(?:lab|hall)-[0-9]{1,3}"} {
		if _, err := ParseSelectors(`t{device_id=~"` + pattern + `"}`); err != nil {
			t.Errorf("%.50s: %v", pattern, err)
		}
	}
}

// TestSelectorsAreBounded: a request has only so many selectors, and their regular expressions only so many steps together.
func TestSelectorsAreBounded(t *testing.T) {
	texts := slices.Repeat([]string{`t{name=~"[a-z]{200}"}`}, MaxSelectors)
	if _, err := ParseSelectors(texts...); err != nil {
		t.Error(err)
	}
	for what, texts := range map[string][]string{
		"one too many":                append(texts, "t"),
		"too many steps together":     slices.Repeat([]string{`t{name=~"[a-z]{1000}"}`}, MaxSelectors),
		"too many steps in one of it": {"t{" + strings.Repeat(`name=~"[a-z]{1000}",`, MaxSelectors) + "}"},
	} {
		var refused *Error
		if _, err := ParseSelectors(texts...); !errors.As(err, &refused) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// endless is a store that has no end of devices and of values, and that only looks at whether its reader wants more.
type endless struct {
	*memory
	asked  func()
	called int
}

func (s *endless) Devices(_ context.Context, q iot.DeviceQuery) ([]iot.Device, error) {
	s.asked()
	page := make([]iot.Device, q.Limit)
	for i := range page {
		page[i].ID = q.After + iot.DeviceID(i) + 1
	}
	return page, nil
}

func (s *endless) ReadBuckets(_ context.Context, _ iot.BucketQuery, take func(iot.Buckets) error) error {
	s.asked()
	for s.called < 1_000_000 {
		s.called++
		if err := take(iot.Buckets{Device: 1, Metric: "t"}); err != nil {
			return err
		}
	}
	return nil
}

// TestClientsThatLeave: what is not wanted any more ends, whether devices or values are looked through for it.
func TestClientsThatLeave(t *testing.T) {
	for _, text := range []string{`t{name=~"x"}`, `t{device="1"}`} {
		ctx, cancel := context.WithCancel(t.Context())
		store := &endless{memory: &memory{}, asked: cancel}
		selectors, err := ParseSelectors(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Find(ctx, store, selectors, noon); !errors.Is(err, context.Canceled) || store.called > 1 {
			t.Errorf("%s: %v after %d values", text, err, store.called)
		}
	}
}
