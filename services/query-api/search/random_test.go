package search

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// random makes queries and readings that often have something to do with each other.
type random struct{ *rand.Rand }

func (r random) one(of ...string) string { return of[r.IntN(len(of))] }

func (r random) name() string  { return r.one("a", "b", "c:d", "and", "e f") }
func (r random) text() string  { return r.one("x", "xy", "xyz", "yx", "Y", "z z", "5", "2.5", "") }
func (r random) value() string { return r.one("-1", "0", "2.5", "5", "1e3") }

func (r random) reading() iot.Reading {
	reading := iot.Reading{Device: iot.DeviceID(1 + r.IntN(3)), At: time.UnixMilli(int64(r.IntN(1e6))).UTC()}
	if r.IntN(2) == 0 {
		reading.Key = r.one("xy", "key")
		reading.Device = iot.KeyID(reading.Key)
	}
	for _, name := range []string{"a", "and", "b", "c:d"} {
		switch r.IntN(4) {
		case 0:
			reading.Attributes = append(reading.Attributes, iot.Attribute{Name: name, Value: r.text()})
		case 1, 2:
			value, _ := strconv.ParseFloat(r.value(), 64)
			reading.Metrics = append(reading.Metrics, iot.Metric{Name: name, Value: value})
		}
	}
	return reading
}

// naive is a query as it is written, and what it means in as few steps as possible.
type naive struct {
	query string
	match func(r *iot.Reading) bool
}

func (r random) query(depth int) naive {
	if depth == 0 {
		return r.term()
	}
	a, b := r.query(depth-1), r.query(r.IntN(depth))
	switch r.IntN(6) {
	case 0:
		return naive{r.one("NOT (", "-(", "not(") + a.query + ")", func(r *iot.Reading) bool { return !a.match(r) }}
	case 1, 2:
		return naive{"(" + a.query + ")" + r.one(" OR ", " or ") + "(" + b.query + ")", func(r *iot.Reading) bool { return a.match(r) || b.match(r) }}
	case 3:
		c := r.term() // AND binds more than OR
		return naive{a.query + " OR " + b.query + " AND " + c.query, func(r *iot.Reading) bool { return a.match(r) || b.match(r) && c.match(r) }}.ifSimple(a, b)
	default:
		return naive{"(" + a.query + ")" + r.one(" ", " AND ", "  and\t") + "(" + b.query + ")", func(r *iot.Reading) bool { return a.match(r) && b.match(r) }}
	}
}

// ifSimple returns n where its operands a and b are terms, which need no parentheses, and else a.
func (n naive) ifSimple(a, b naive) naive {
	if strings.Contains(a.query, ")") || strings.Contains(b.query, ")") || strings.Contains(b.query, " OR ") || strings.Contains(a.query, " AND ") {
		return a
	}
	return n
}

func (r random) term() naive {
	name, text, value := r.name(), r.text(), r.value()
	number, _ := strconv.ParseFloat(value, 64)
	quoted := func(s string) string { return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(s) + `"` }
	member := func(numbers func(float64) bool, texts func(string) bool) func(r *iot.Reading) bool {
		return func(r *iot.Reading) bool {
			return slices.ContainsFunc(r.Metrics, func(m iot.Metric) bool { return m.Name == name && numbers(m.Value) }) ||
				slices.ContainsFunc(r.Attributes, func(a iot.Attribute) bool { return a.Name == name && texts(a.Value) })
		}
	}
	none, noText := func(float64) bool { return false }, func(string) bool { return false }
	lower := strings.ToLower
	switch r.IntN(12) {
	case 0:
		return naive{quoted(name) + ":" + value, member(func(v float64) bool { return v == number }, func(s string) bool { return lower(s) == lower(value) })}
	case 1:
		return naive{quoted(name) + ":!=" + value, member(func(v float64) bool { return v != number }, func(s string) bool { return lower(s) != lower(value) })}
	case 2:
		return naive{quoted(name) + ":" + quoted(text), member(none, func(s string) bool { return lower(s) == lower(text) })}
	case 3:
		return naive{quoted(name) + ":>" + value, member(func(v float64) bool { return v > number }, noText)}
	case 4:
		return naive{quoted(name) + ":<=" + value, member(func(v float64) bool { return v <= number }, noText)}
	case 5:
		return naive{quoted(name) + ":<" + quoted(text), member(none, func(s string) bool { return lower(s) < lower(text) })}
	case 6:
		return naive{quoted(name) + ":" + value + "..*", member(func(v float64) bool { return v >= number }, noText)}
	case 7:
		return naive{quoted(name) + ":-1.." + strings.TrimPrefix(value, "-"), member(func(v float64) bool { return v >= -1 && v <= max(number, -number) }, noText)}
	case 8:
		return naive{quoted(name) + ":X*", member(none, func(s string) bool { return strings.HasPrefix(lower(s), "x") })}
	case 9:
		return naive{quoted(name) + ":!=*y*", member(func(float64) bool { return true }, func(s string) bool { return !strings.Contains(lower(s), "y") })}
	case 10:
		id := 1 + r.IntN(3)
		return naive{fmt.Sprint("device_id:", id), func(r *iot.Reading) bool { return r.Device == iot.DeviceID(id) }}
	default:
		return naive{quoted(text), func(r *iot.Reading) bool {
			return slices.ContainsFunc(r.Attributes, func(a iot.Attribute) bool { return strings.Contains(lower(a.Value), lower(text)) }) ||
				r.Key != "" && strings.Contains(lower(r.Key), lower(text))
		}}
	}
}

// summarize returns what a store knows of readings of one device.
func summarize(readings []iot.Reading) iot.Summary {
	s := iot.Summary{Device: readings[0].Device, Count: len(readings), From: readings[0].At, To: readings[0].At}
	for _, r := range readings {
		if r.At.Before(s.From) {
			s.From = r.At
		}
		if r.At.After(s.To) {
			s.To = r.At
		}
		s.Text = s.Text || len(r.Attributes) > 0
		for _, m := range r.Metrics {
			i, found := slices.BinarySearchFunc(s.Metrics, m.Name, func(r iot.MetricRange, name string) int { return strings.Compare(r.Name, name) })
			if !found {
				s.Metrics = slices.Insert(s.Metrics, i, iot.MetricRange{Name: m.Name, Min: m.Value, Max: m.Value})
			}
			s.Metrics[i].Min, s.Metrics[i].Max = min(s.Metrics[i].Min, m.Value), max(s.Metrics[i].Max, m.Value)
		}
	}
	return s
}

// TestRandomQueries: a query finds what it says, and no block is refused that has some of it.
func TestRandomQueries(t *testing.T) {
	seed := rand.Uint64()
	r := random{rand.New(rand.NewPCG(seed, 1))}
	matches, refused := 0, 0
	for range 3000 {
		n := r.query(r.IntN(4))
		q, err := Parse(n.query)
		if err != nil {
			t.Fatalf("seed %d: %s: %v", seed, n.query, err)
		}
		block := make([]iot.Reading, 1+r.IntN(5))
		for i := range block {
			block[i] = r.reading()
			block[i].Device, block[i].Key = block[0].Device, block[0].Key
		}
		some := false
		for i := range block {
			got, want := q.Match(&block[i]), n.match(&block[i])
			if got != want {
				t.Fatalf("seed %d: %s: %v for %+v, want %v", seed, n.query, got, block[i], want)
			}
			if some = some || got; got {
				matches++
			}
		}
		may := q.May(summarize(block))
		if some && !may {
			t.Fatalf("seed %d: %s: refuses %+v", seed, n.query, block)
		}
		if !may {
			refused++
		}
	}
	if matches < 1000 || refused < 300 {
		t.Errorf("seed %d: %d matches, and %d blocks refused: too few to show anything", seed, matches, refused)
	}
}

// TestMay: what lets a store skip blocks.
func TestMay(t *testing.T) {
	s := iot.Summary{Device: 7, Count: 3, Metrics: []iot.MetricRange{{Name: "humidity", Min: 40, Max: 40}, {Name: "temperature", Min: -5, Max: 20}}}
	for query, want := range map[string]bool{
		"": true, "temperature:>19.9": true, "temperature:>20": false, "temperature:>=20": true, "temperature:<-5": false, "temperature:<=-5": true,
		"temperature:20": true, "temperature:21": false, "temperature:21..*": false, "temperature:0..1": true, "temperature:-10..-6": false,
		"humidity:!=40": false, "temperature:!=20": true, "temperature:!=-10..20": false, "humidity:*": true, "pressure:*": false, "pressure:!=1": false,
		"room:lab": false, "temperature:warm": false, "temperature:!=warm": true, "lab": true, "device_key:lab": true, "device_id:7": true, "device_id:8": false,
		"-device_id:7": false, "-device_id:8": true, "-temperature:>30": true, "NOT *": false,
		"temperature:>25 lab": false, "temperature:>25 OR lab": true, "temperature:>25 OR room:lab": false,
	} {
		q, err := Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.May(s); got != want {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	s.Text = true
	for query, want := range map[string]bool{"temperature:>20": false, "temperature:21": true, "temperature:!=-10..20": true, "room:lab": true, "room:!=lab": true, `room:>"lab"`: true} {
		q, err := Parse(query)
		if err != nil {
			t.Fatal(err)
		}
		if got := q.May(s); got != want {
			t.Errorf("with attributes, %s: %v, want %v", query, got, want)
		}
	}
}

// FuzzParse: any text is a query or has an error at one of its characters.
func FuzzParse(f *testing.F) {
	for _, query := range []string{"", "temperature:>25 AND room:lab*", `-(a:1..2 OR "b c":"d\"")`, "a:!=*..5 not b", "((a", `a:"`, "device_id:x:y", "ü:<=\xff"} {
		f.Add(query, uint64(1))
	}
	f.Fuzz(func(t *testing.T, query string, seed uint64) {
		q, err := Parse(query)
		if err != nil {
			var e *SyntaxError
			if !errors.As(err, &e) || e.At < 1 || e.At > len(query)+1 || e.Expected == "" || e.Found == "" {
				t.Fatalf("%q: %#v", query, err)
			}
			return
		}
		r := random{rand.New(rand.NewPCG(seed, 1))}
		reading := r.reading()
		if q.Match(&reading) && !q.May(summarize([]iot.Reading{reading})) {
			t.Fatalf("%q refuses %+v", query, reading)
		}
		if negated, err := Parse("-(" + query + ")"); err == nil && strings.Count(query, `"`) == 0 && q.Match(&reading) == negated.Match(&reading) &&
			!strings.Contains(query, ")") && strings.TrimSpace(query) != "" {
			t.Fatalf("%q and its opposite both match, or neither does", query)
		}
	})
}
