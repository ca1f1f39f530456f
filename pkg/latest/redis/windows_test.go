package redis_test

import (
	"context"
	_ "embed"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/readingjson"
)

// one returns a reading that has one metric, and was made some time after another.
func one(after time.Duration, name string) iot.Reading {
	r := reading(1, 1)
	r.At = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(after)
	r.Metrics[0].Name = name
	return r
}

func get(t *testing.T, client rueidis.Client, key string) string {
	t.Helper()
	text, err := do(t, client, "GET", key).ToString()
	if err != nil && !rueidis.IsRedisNil(err) {
		t.Fatal(err)
	}
	return text
}

func TestWindows(t *testing.T) {
	t.Run("older members have their times in latest:device{id}", func(t *testing.T) {
		c, client := openEmpty(t)
		put(t, c, one(0, "humidity"))
		put(t, c, one(time.Second, "a"))
		const want = `{"device_id":1,"temperature":null,"humidity":1,"timestamp":"2026-03-01T12:00:01.000Z","metrics":{"a":1},` +
			`"times":{"humidity":"2026-03-01T12:00:00.000Z"}}`
		if got := get(t, client, "latest:device1"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("a window expires with the last reading that can count", func(t *testing.T) {
		c, client := openEmpty(t)
		for _, name := range []string{"a", "b"} {
			put(t, c, one(0, name))
			ms, _ := do(t, client, "PTTL", "latest:window1").AsInt64()
			if left := time.Duration(ms) * time.Millisecond; left > 2*time.Minute || left < 110*time.Second {
				t.Errorf("expires in %v", left)
			}
		}
	})
	t.Run("where a window is lost the members of the value that have its timestamp stay", func(t *testing.T) {
		c, client := openEmpty(t)
		put(t, c, one(0, "a"), one(time.Second, "b"))
		do(t, client, "DEL", "latest:window1")
		put(t, c, one(2*time.Second, "c"))
		want := one(2*time.Second, "b")
		want.Metrics = append(want.Metrics, iot.Metric{Name: "c", Value: 1})
		want.Times = []iot.MemberTime{{Name: "b", At: want.At.Add(-time.Second)}}
		check(t, c, want)
	})
	t.Run("where the value is lost it is written again", func(t *testing.T) {
		c, client := openEmpty(t)
		r := one(0, "a")
		put(t, c, r)
		do(t, client, "DEL", "latest:device1")
		put(t, c, r)
		check(t, c, r)
	})
	for name, window := range map[string]string{
		"junk":                         "x",
		"no readings":                  "a 1772366400000\n{}\n",
		"no window":                    "a 1772366400000\n{}\n1772366400000 {}",
		"a header of another version":  "a b c d e f\n{}\n",
		"a clock that was years ahead": "a 99999999999999 1772366400000 1\n{}",
		"such a clock, and more":       "a 99999999999999\n{}\n99999999999999 " + string(readingjson.Append(nil, one(time.Hour, "b"))),
	} {
		t.Run("a window is written again after "+name, func(t *testing.T) {
			c, client := openEmpty(t)
			do(t, client, "SET", "latest:window1", window)
			put(t, c, one(0, "a"))
			check(t, c, one(0, "a"))
			if text := get(t, client, "latest:window1"); strings.HasPrefix(text, "a ") || text == window {
				t.Errorf("the window is %q", text)
			}
		})
	}
	t.Run("a device is online after an updater's clock was ahead", func(t *testing.T) {
		c, client := openEmpty(t)
		r := one(0, "a")
		put(t, c, r)
		received := strconv.FormatInt(r.Received.UnixMilli(), 10)
		do(t, client, "SET", "latest:window1", strings.Replace(get(t, client, "latest:window1"), received, "99999999999999", 1))
		do(t, client, "PEXPIRE", "latest:device1", "5000")
		put(t, c, one(-time.Second, "a"))
		check(t, c, r)
		if ms, _ := do(t, client, "PTTL", "latest:device1").AsInt64(); ms < 50_000 {
			t.Errorf("its value expires in %d ms", ms)
		}
	})
	t.Run("more than one answer has room for is merged in several", func(t *testing.T) {
		c, _ := openEmpty(t)
		var first, second, want []iot.Reading
		for id := range iot.DeviceID(40) {
			r := one(0, "a")
			r.Device = id + 1
			r.Attributes = []iot.Attribute{{Name: "text", Value: strings.Repeat("x", 50_000)}}
			first = append(first, r)
			r.At, r.Attributes = r.At.Add(time.Second), nil
			second = append(second, r)
			r.Attributes = first[id].Attributes
			r.Times = []iot.MemberTime{{Name: "text", At: first[id].At}}
			want = append(want, r)
		}
		put(t, c, first...)
		put(t, c, second...)
		for _, r := range want {
			got, err := c.Latest(t.Context(), r.Device)
			if r.Received = (time.Time{}); err != nil || !got.SameContent(r) || len(got.Times) != 1 {
				t.Errorf("device %d: %d attributes, %v, %v", r.Device, len(got.Attributes), got.Times, err)
			}
		}
	})
}

// beforeWindows is the script of Telltale when it kept the newest reading alone.
//
//go:embed testdata/before-windows.lua
var beforeWindows string

// putBefore is PutLatest of that Telltale, for one reading.
func putBefore(t *testing.T, client rueidis.Client, r iot.Reading) {
	t.Helper()
	now := time.Now()
	expires := strconv.FormatInt(now.Add(time.Minute).UnixMilli(), 10)
	do(t, client, "EVAL", beforeWindows, "2", "latest:online", "latest:device"+r.Device.String(),
		strconv.FormatInt(now.UnixMilli(), 10), strconv.FormatInt(now.Add(-2*time.Minute).UnixMilli(), 10),
		expires, expires, string(readingjson.Append(nil, r)))
}

func TestRollingUpdate(t *testing.T) {
	t.Run("a value of before is one of the readings", func(t *testing.T) {
		c, client := openEmpty(t)
		putBefore(t, client, one(0, "a"))
		put(t, c, one(time.Second, "b"))
		putBefore(t, client, one(2*time.Second, "c"))
		put(t, c, one(-time.Second, "d"))
		want := one(2*time.Second, "a")
		for _, name := range []string{"b", "c", "d"} {
			want.Metrics = append(want.Metrics, iot.Metric{Name: name, Value: 1})
		}
		at := want.At.Add(-2 * time.Second)
		want.Times = []iot.MemberTime{{Name: "a", At: at}, {Name: "b", At: at.Add(time.Second)}, {Name: "d", At: at.Add(-time.Second)}}
		check(t, c, want)
	})
	t.Run("each of the two replaces what is older than its own, and nothing else", func(t *testing.T) {
		for seed := range uint64(30) {
			random := rand.New(rand.NewPCG(seed, 1))
			c, client := openEmpty(t)
			var newest iot.Reading
			for range 20 {
				r := one(time.Duration(random.IntN(1000))*time.Millisecond, "a")
				r.Metrics[0].Value = float64(r.At.UnixMilli())
				if random.IntN(2) == 0 {
					putBefore(t, client, r)
				} else {
					put(t, c, r)
				}
				if r.At.After(newest.At) {
					newest = r
				}
				if got, want := get(t, client, "latest:device1"), string(readingjson.Append(nil, newest)); got != want {
					t.Fatalf("seed %d: got  %s\nwant %s", seed, got, want)
				}
			}
		}
	})
	t.Run("each of the two knows for itself what it has to restore", func(t *testing.T) {
		c, client := openEmpty(t)
		do(t, client, "SET", "latest:complete", "yes of before")
		if complete, err := c.Complete(t.Context()); complete || err != nil {
			t.Errorf("complete by the word of before: %v", err)
		}
		if err := c.Restore(t.Context(), func(context.Context) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if word := get(t, client, "latest:complete"); word != "yes of before" {
			t.Errorf("the word of before is now %q", word)
		}
	})
}
