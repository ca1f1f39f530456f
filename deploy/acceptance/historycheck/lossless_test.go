package historycheck

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/deploy/acceptance/history"
)

// odd are numbers as devices may write them, which a lossy format would spoil.
var odd = []string{"0.1", "-0", "-0.0", "0", "5e-324", "-5e-324", "1.7e308", "-1.7e308", "9007199254740993", "9007199254740992", "-9007199254740991", "1e22", "1e-7", "123456789.125"}

// oddNames are names and texts that could be taken for something else.
var oddNames = []string{"a.b", "a.b.c", ".", "$x", "😀", "température", "with space", `"quoted"`, `back\slash`, "null", "\u202e", "0", "-"}

// oddReadings are readings of some hours of the day that ended a day before now, which hold what is hard to keep.
func oddReadings(dice *rand.Rand, now time.Time) (all []string) {
	day := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -2)
	add := func(device int, at time.Duration, members map[string]any) {
		members["device_id"], members["timestamp"] = device, day.Add(at).UnixMilli()
		text, err := json.Marshal(members)
		if err != nil {
			panic(err) // numbers and texts
		}
		all = append(all, string(text))
	}
	for i, number := range odd {
		add(1, time.Duration(i)*time.Minute, map[string]any{"temperature": json.Number(number), "x": json.Number(number)})
	}
	for i := range 100 { // of decimals with a negative zero among them
		add(6, time.Duration(i)*time.Minute, map[string]any{"x": json.Number([]string{"0.1", "-0", "0", "-0.5", "12.25"}[dice.IntN(5)])})
	}
	for i, name := range oddNames {
		add(2, time.Duration(i)*time.Minute, map[string]any{name: float64(i) / 10, "text": name})
		add(2, time.Hour+time.Duration(i)*time.Minute, map[string]any{name: name + name, "x": 1})
	}
	for i := range 50 { // each with all of 64 metrics, or some
		members := map[string]any{}
		for m := range 64 {
			if i%2 == 0 || dice.IntN(3) > 0 {
				members[fmt.Sprintf("metric %d", m)] = dice.NormFloat64()
			}
		}
		add(3, time.Duration(i)*4*time.Minute, members)
	}
	for i := range 300 { // attributes that change, come and go
		members := map[string]any{"temperature": float64(dice.IntN(100)) / 10}
		for a := range 4 {
			if dice.IntN(2) == 0 {
				members["attribute "+strconv.Itoa(a)] = strings.Repeat("é", dice.IntN(40)) + strconv.Itoa(dice.IntN(3))
			}
		}
		add(4, time.Duration(i)*30*time.Second+time.Duration(dice.IntN(1000))*time.Millisecond, members)
	}
	for i := range 2000 { // any bits that are a number
		v := math.Float64frombits(dice.Uint64())
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			add(5, time.Duration(i)*7*time.Second, map[string]any{"x": v})
		}
	}
	add(7, 5*time.Hour, map[string]any{"humidity": 1, "long": strings.Repeat("x", 10_000)})
	return all
}

// stored is what the ways to read all readings show: lists, exports, and a search that all match.
func (s *system) stored(t *testing.T) (texts []string) {
	t.Helper()
	for _, path := range []string{"/api/readings/?limit=10000", "/api/readings/export/?format=ndjson", "/api/readings/export/?format=csv"} {
		texts = append(texts, string(s.get(t, path, nil)))
	}
	var found struct{ Results []json.RawMessage }
	s.get(t, "/api/readings/search/?limit=10000&q="+url.QueryEscape("device_id:*"), &found)
	var lines []string
	for _, r := range found.Results {
		lines = append(lines, string(r))
	}
	return append(texts, strings.Join(lines, "\n"))
}

// TestLossless: sealing changes no bit of a number, no name and no text, and what is sealed is still there once only: what is
// sent again is a duplicate, what contradicts it a dead letter.
func TestLossless(t *testing.T) {
	t.Parallel()
	dice := rand.New(rand.NewPCG(4, 4)) //nolint:gosec // dice, not secrets
	s := start(t, "SEAL_AFTER=1000h")
	sent := oddReadings(dice, time.Now())
	for chunk := range slices.Chunk(sent, 200) {
		s.publishNow(t, chunk...)
	}
	s.awaitStored(t, len(sent))
	if rows := int(s.metric(t, "telltale_store_hot_rows")); rows != len(sent) {
		t.Fatalf("%d of %d readings are rows", rows, len(sent))
	}
	before := s.stored(t)
	readings, err := history.Read(t.Context(), s.api, 1)
	if err != nil || len(readings) != len(odd) {
		t.Fatalf("%d readings with odd numbers, %v", len(readings), err)
	}
	for i, r := range readings { // it is what was sent that stays the same
		want, err := strconv.ParseFloat(odd[i], 64)
		if got := r.Metrics["x"]; err != nil || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s became %v, %v", odd[i], got, err)
		}
	}

	s.restart(t, sealing)
	s.awaitSealed(t)
	for i, after := range s.stored(t) {
		if after != before[i] {
			t.Errorf("sealed, it is something else: %s", difference(before[i], after))
		}
	}

	s.publishNow(t, sent[:300]...)
	contradiction := strings.Replace(sent[0], `"x":`, `"x":1`, 1)
	s.publishNow(t, contradiction)
	eventually(t, waitTimeout, "300 duplicates and a conflict", func() bool { return s.became(t, "duplicate") == 300 && s.became(t, "conflict") == 1 })
	s.awaitDeadLetter(t, "conflict")
	for i, after := range s.stored(t) {
		if after != before[i] {
			t.Errorf("sent again, it is something else: %s", difference(before[i], after))
		}
	}
}

// difference is where two texts differ.
func difference(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	part := func(s string) string { return s[max(0, i-100):min(len(s), i+50)] }
	return fmt.Sprintf("at %d of %d and %d bytes %q, it was %q", i, len(a), len(b), part(b), part(a))
}
