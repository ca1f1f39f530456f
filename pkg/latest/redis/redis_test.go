package redis_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	peer "github.com/alicebob/miniredis/v2/server"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/rueidis"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/latest"
	"github.com/telltale-iot/telltale/pkg/latest/latesttest"
	"github.com/telltale-iot/telltale/pkg/latest/redis"
	"github.com/telltale-iot/telltale/pkg/readingjson"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

// serverURL names a database that the tests may empty: that of a real server where TEST_REDIS_URL or TEST_REQUIRE=1
// is set, else one in this process, which runs the same Lua.
func serverURL(t *testing.T) *url.URL {
	t.Helper()
	if os.Getenv("TEST_REDIS_URL") != "" || os.Getenv("TEST_REQUIRE") == "1" {
		return realServerURL(t)
	}
	server := miniredis.NewMiniRedis()
	server.ClockTTL(true)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	info := "run_id:" + strings.Repeat("f", 40) + "\r\n"
	server.Server().SetPreHook(func(client *peer.Peer, command string, _ ...string) bool {
		switch command {
		case "INFO": // of which it knows no section "server"
			client.WriteBulk(info)
			return true
		case "EVALSHA", "EVAL", "GET":
			server.SetTime(time.Now()) // stands still meanwhile; each move costs it a look at all keys
		}
		return false
	})
	return parse(t, "redis://"+server.Addr()+"/0")
}

// realServerURL is serverURL without the server in this process.
func realServerURL(t testing.TB) *url.URL {
	t.Helper()
	text := os.Getenv("TEST_REDIS_URL")
	if text == "" {
		if os.Getenv("TEST_REQUIRE") == "1" {
			t.Fatal("TEST_REDIS_URL is not set")
		}
		t.Skip("TEST_REDIS_URL is not set")
	}
	return parse(t, text)
}

func parse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func open(t testing.TB, u *url.URL) *redis.Cache {
	t.Helper()
	c, err := redis.Open(u, tlsfiles.Files{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// openEmpty empties the database, and also returns a plain client of it.
func openEmpty(t *testing.T) (*redis.Cache, rueidis.Client) {
	t.Helper()
	u := serverURL(t)
	option := rueidis.MustParseURL(u.String())
	option.ForceSingleClient, option.DisableCache = true, true
	client, err := rueidis.NewClient(option)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	do(t, client, "FLUSHDB")
	return open(t, u), client
}

func do(t *testing.T, client rueidis.Client, command ...string) rueidis.RedisResult {
	t.Helper()
	result := client.Do(context.Background(), client.B().Arbitrary(command...).Build())
	if err := result.Error(); err != nil && !rueidis.IsRedisNil(err) {
		t.Fatalf("%v: %v", command, err)
	}
	return result
}

func reading(id iot.DeviceID, value float64) iot.Reading {
	now := time.Now().UTC().Truncate(time.Millisecond)
	return iot.Reading{Device: id, At: now, Received: now, Metrics: []iot.Metric{{Name: iot.Temperature, Value: value}}}
}

func put(t *testing.T, c *redis.Cache, batch ...iot.Reading) {
	t.Helper()
	if _, err := c.PutLatest(t.Context(), batch, time.Minute); err != nil {
		t.Fatalf("PutLatest: %v", err)
	}
}

// check fails the test unless want is what the cache keeps of its device.
func check(t *testing.T, c *redis.Cache, want iot.Reading) {
	t.Helper()
	want.Received = time.Time{}
	got, err := c.Latest(t.Context(), want.Device)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Latest: %v (-want +got):\n%s", err, diff)
	}
	all, err := c.AllLatest(t.Context())
	if diff := cmp.Diff([]iot.Reading{want}, all); err != nil || diff != "" {
		t.Errorf("AllLatest: %v (-want +got):\n%s", err, diff)
	}
}

func TestCache(t *testing.T) {
	latesttest.Suite{
		Open: func(t *testing.T) latest.Cache { c, _ := openEmpty(t); return c },
		Body: func(t *testing.T, body func(t *testing.T)) { body(t) },
	}.Run(t)
}

func TestKeys(t *testing.T) {
	t.Run("latest:device{id} is the reading as the API shows it, and expires", func(t *testing.T) {
		c, client := openEmpty(t)
		r := reading(42, 21.5)
		put(t, c, r)
		got, _ := do(t, client, "GET", "latest:device42").ToString()
		if want := string(readingjson.Append(nil, r)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if ms, _ := do(t, client, "PTTL", "latest:device42").AsInt64(); ms <= 0 || ms > time.Minute.Milliseconds() {
			t.Errorf("expires in %d ms", ms)
		}
	})

	for name, command := range map[string][]string{
		"the original's value":   {"SET", "latest:device1", `{"device_id": 1, "temperature": 20.0, "humidity": 40.0, "timestamp": "2099-01-01T00:00:00.123456"}`},
		"a time in another form": {"SET", "latest:device1", `{"device_id":1,"temperature":1,"humidity":null,"timestamp":"9999-01-01 00:00:00"}`},
		"an empty text":          {"SET", "latest:device1", ""},
		"junk":                   {"SET", "latest:device1", "\x00\xff{"},
		"another type of value":  {"RPUSH", "latest:device1", "x"},
	} {
		t.Run(name+" under a device's key is overwritten", func(t *testing.T) {
			c, client := openEmpty(t)
			do(t, client, command...)
			if all, err := c.AllLatest(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("AllLatest before: %v, %v", all, err)
			}
			if _, err := c.Latest(t.Context(), 1); command[0] == "SET" && !errors.Is(err, iot.ErrNotFound) {
				t.Errorf("Latest before: %v", err)
			}
			want := reading(1, 1)
			put(t, c, want)
			check(t, c, want)
		})
	}

	t.Run("the index forgets devices that fell silent", func(t *testing.T) {
		c, client := openEmpty(t)
		do(t, client, "ZADD", "latest:online", "1000", "latest:device7")
		put(t, c, reading(1, 1))
		if keys, _ := do(t, client, "ZRANGE", "latest:online", "0", "-1").AsStrSlice(); !cmp.Equal(keys, []string{"latest:device1"}) {
			t.Errorf("index: %v", keys)
		}
	})
}

func TestServerThatForgets(t *testing.T) {
	t.Run("its scripts", func(t *testing.T) {
		c, client := openEmpty(t)
		put(t, c, reading(1, 1))
		do(t, client, "SCRIPT", "FLUSH")
		want := reading(1, 2)
		want.At = want.At.Add(time.Second)
		put(t, c, want)
		check(t, c, want)
	})
	t.Run("its data", func(t *testing.T) {
		c, client := openEmpty(t)
		put(t, c, reading(1, 1), reading(2, 2))
		do(t, client, "FLUSHDB")
		if all, err := c.AllLatest(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("AllLatest: %v, %v", all, err)
		}
		want := reading(2, 3)
		put(t, c, want)
		check(t, c, want)
	})
}

func TestEmptiedServer(t *testing.T) {
	c, client := openEmpty(t)
	nothing := func(context.Context) error { return nil }
	complete := func() bool {
		t.Helper()
		ok, err := c.Complete(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if err := c.Restore(t.Context(), nothing); err != nil || !complete() {
		t.Fatalf("not complete after it was restored: %v", err)
	}
	do(t, client, "FLUSHDB")
	if complete() {
		t.Error("complete after it was emptied")
	}
	err := c.Restore(t.Context(), func(context.Context) error {
		do(t, client, "FLUSHDB")
		return nil
	})
	if err == nil || complete() {
		t.Errorf("complete though it was emptied while it was filled: %v", err)
	}
}

// TestServerThatCameBackOld: a server that crashed comes back with what its last snapshot holds, the word that
// it was complete included, and with another run_id. Here it is the word that is given another.
func TestServerThatCameBackOld(t *testing.T) {
	c, client := openEmpty(t)
	restore := func(fill func(context.Context) error) error { return c.Restore(t.Context(), fill) }
	crash := func() {
		t.Helper()
		value, err := do(t, client, "GET", "latest:windows").ToString()
		runID := value[strings.LastIndexByte(value, ' ')+1:]
		if info, _ := do(t, client, "INFO", "server").ToString(); err != nil || !strings.Contains(info, "run_id:"+runID+"\r\n") {
			t.Fatalf("latest:windows is %q, %v; want the run_id at its end", value, err)
		}
		do(t, client, "SET", "latest:windows", strings.Replace(value, runID, strings.Repeat("0", len(runID)), 1))
	}
	complete := func() bool {
		t.Helper()
		ok, err := c.Complete(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if err := restore(func(context.Context) error { return nil }); err != nil || !complete() {
		t.Fatalf("not complete after it was restored: %v", err)
	}
	crash()
	if complete() {
		t.Error("complete after it came back old")
	}
	if err := restore(func(context.Context) error { return nil }); err != nil || !complete() {
		t.Errorf("not complete after it was restored again: %v", err)
	}
	do(t, client, "DEL", "latest:windows")
	err := restore(func(context.Context) error { crash(); return nil })
	if err == nil || complete() {
		t.Errorf("complete though it came back old while it was filled: %v", err)
	}
	do(t, client, "SET", "latest:windows", "yes")
	if complete() {
		t.Error("complete by a word that does not say whose it is")
	}
}
