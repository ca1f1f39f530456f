package iot_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestValidate(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	valid := func() iot.Reading {
		return iot.Reading{
			Device: 42, At: at, Received: at, Stamped: iot.StampDevice,
			Metrics:    []iot.Metric{{Name: "humidity", Value: 40}, {Name: "temperature", Value: 21.5}},
			Attributes: []iot.Attribute{{Name: "firmware", Value: ""}},
		}
	}
	tests := []struct {
		name   string
		change func(*iot.Reading)
		ok     bool
	}{
		{"a reading with everything", func(*iot.Reading) {}, true},
		{"no attributes", func(r *iot.Reading) { r.Attributes = nil }, true},
		{"device 0", func(r *iot.Reading) { r.Device = 0 }, false},
		{"device above the greatest", func(r *iot.Reading) { r.Device = iot.MaxDeviceID + 1 }, false},
		{"a key that the id is made of", func(r *iot.Reading) { r.Key, r.Device = "kitchen-1", iot.KeyID("kitchen-1") }, true},
		{"the key of another", func(r *iot.Reading) { r.Key = "kitchen-1" }, false},
		{"a key that is an id", func(r *iot.Reading) { r.Key = "42" }, false},
		{"a key that is an id, hashed", func(r *iot.Reading) { r.Key, r.Device = "42", iot.KeyID("42") }, false},
		{"a key with a line feed", func(r *iot.Reading) { r.Key, r.Device = "a\n", iot.KeyID("a\n") }, false},
		{"a time that the device gave", func(r *iot.Reading) { r.Said = strings.Repeat("1", iot.MaxSaidBytes) }, true},
		{"one that is too long", func(r *iot.Reading) { r.Said = strings.Repeat("1", iot.MaxSaidBytes+1) }, false},
		{"one that is not UTF-8", func(r *iot.Reading) { r.Said = "\xff" }, false},
		{"a time finer than a millisecond", func(r *iot.Reading) { r.At = at.Add(time.Microsecond) }, false},
		{"no time", func(r *iot.Reading) { r.Received = time.Time{} }, false},
		{"a time after the year 9999", func(r *iot.Reading) { r.At = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, false},
		{"no metrics", func(r *iot.Reading) { r.Metrics = nil }, false},
		{"NaN", func(r *iot.Reading) { r.Metrics[0].Value = math.NaN() }, false},
		{"infinity", func(r *iot.Reading) { r.Metrics[1].Value = math.Inf(-1) }, false},
		{"metrics out of order", func(r *iot.Reading) { r.Metrics[0], r.Metrics[1] = r.Metrics[1], r.Metrics[0] }, false},
		{"a metric twice", func(r *iot.Reading) { r.Metrics[1] = r.Metrics[0] }, false},
		{"an attribute twice", func(r *iot.Reading) { r.Attributes = append(r.Attributes, r.Attributes[0]) }, false},
		{"an empty name", func(r *iot.Reading) { r.Metrics[0].Name = "" }, false},
		{"a name with NUL", func(r *iot.Reading) { r.Attributes[0].Name = "a\x00b" }, false},
		{"a name that is too long", func(r *iot.Reading) { r.Attributes[0].Name = strings.Repeat("n", iot.MaxNameBytes+1) }, false},
		{"a name that is not UTF-8", func(r *iot.Reading) { r.Attributes[0].Name = "\xff" }, false},
		{"more than a store can take", func(r *iot.Reading) { r.Attributes[0].Value = strings.Repeat("v", iot.MaxContentBytes) }, false},
		{"a value that is not UTF-8", func(r *iot.Reading) { r.Attributes[0].Value = "\xff" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := valid()
			tt.change(&r)
			if err := r.Validate(); (err == nil) != tt.ok || (!tt.ok && !errors.Is(err, iot.ErrInvalid)) {
				t.Errorf("Validate() = %v", err)
			}
		})
	}
}

func TestSameContent(t *testing.T) {
	a := iot.Reading{Device: 1, Metrics: []iot.Metric{{Name: "t", Value: 1}}, Attributes: []iot.Attribute{{Name: "a", Value: "x"}}}
	b := a
	b.Received = a.Received.Add(time.Hour)
	b.Stamped = iot.StampServer
	b.Key, b.Said = "kitchen-1", "noon"
	if !a.SameContent(b) {
		t.Error("when and by whom a reading was stamped, and what its device is called, is not its content")
	}
	b.Attributes = []iot.Attribute{{Name: "a", Value: "y"}}
	if a.SameContent(b) {
		t.Error("another attribute is another content")
	}
	b.Attributes, b.Metrics = a.Attributes, []iot.Metric{{Name: "t", Value: 2}}
	if a.SameContent(b) {
		t.Error("another metric is another content")
	}
}

func TestCursor(t *testing.T) {
	for _, c := range []iot.Cursor{
		{},
		{At: time.UnixMilli(0).UTC(), Device: 1},
		{At: time.UnixMilli(-1).UTC(), Device: 1},
		{At: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), Device: 1},
		{At: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC), Device: iot.MaxDeviceID},
	} {
		if got, err := iot.ParseCursor(c.String()); err != nil || got != c {
			t.Errorf("ParseCursor(%q) = %v, %v; want %v", c, got, err, c)
		}
	}
	for _, s := range []string{"x", "!!!", "AAAA", strings.Repeat("A", 22), strings.Repeat("_", 22), "gAAAAAAAAAAAAAAAAAAAAQ", strings.Repeat("A", 400)} {
		if c, err := iot.ParseCursor(s); !errors.Is(err, iot.ErrInvalid) {
			t.Errorf("ParseCursor(%q) = %v, %v; want ErrInvalid", s, c, err)
		}
	}
}

func TestStamp(t *testing.T) {
	for _, s := range []iot.Stamp{iot.StampUnknown, iot.StampDevice, iot.StampServer} {
		if got := iot.ParseStamp(s.String()); got != s {
			t.Errorf("ParseStamp(%q) = %v", s, got)
		}
	}
}

func TestDeadLetterCursor(t *testing.T) {
	id := iot.DeadLetterID{0: 1, 15: 255}
	for _, c := range []iot.DeadLetterCursor{{}, {Received: time.UnixMilli(0).UTC()}, {Received: time.UnixMilli(-1).UTC(), ID: id}, {Received: time.UnixMilli(1772366400678).UTC(), ID: id}} {
		if got, err := iot.ParseDeadLetterCursor(c.String()); err != nil || got != c {
			t.Errorf("ParseDeadLetterCursor(%q) = %v, %v; want %v", c, got, err, c)
		}
	}
	for _, s := range []string{"x", "!!!", "AAAA", strings.Repeat("f", 32), strings.Repeat("g", 32), strings.Repeat("A", 400)} {
		if c, err := iot.ParseDeadLetterCursor(s); !errors.Is(err, iot.ErrInvalid) {
			t.Errorf("ParseDeadLetterCursor(%q) = %v, %v; want ErrInvalid", s, c, err)
		}
	}
	if got, err := iot.ParseDeadLetterID(id.String()); err != nil || got != id {
		t.Errorf("ParseDeadLetterID(%q) = %v, %v", id, got, err)
	}
	for _, s := range []string{"", "01", strings.Repeat("0", 34), strings.Repeat("A", 32), strings.Repeat("g", 32)} {
		if got, err := iot.ParseDeadLetterID(s); !errors.Is(err, iot.ErrInvalid) {
			t.Errorf("ParseDeadLetterID(%q) = %v, %v; want ErrInvalid", s, got, err)
		}
	}
}

func TestCeil(t *testing.T) {
	ms := func(n int64) time.Time { return time.UnixMilli(n).UTC() }
	for given, want := range map[time.Time]time.Time{
		ms(7): ms(7), ms(7).Add(1): ms(8), ms(7).Add(time.Millisecond - 1): ms(8), ms(-7): ms(-7), ms(-7).Add(1): ms(-6),
		ms(7).In(time.FixedZone("", 3600)): ms(7),
	} {
		if got := iot.CeilMillis(given); !got.Equal(want) {
			t.Errorf("%v: %v, want %v", given, got, want)
		}
	}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))
	for given, want := range map[time.Time]time.Time{noon.Add(-12 * time.Hour): noon.Add(-11 * time.Hour), noon: noon.Add(13 * time.Hour), noon.Add(13 * time.Hour): noon.Add(13 * time.Hour)} {
		if got := iot.Ceil(given, iot.Day); !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%v: %v, want %v", given, got, want)
		}
	}
}
