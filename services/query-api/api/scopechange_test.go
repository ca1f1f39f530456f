package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/services/query-api/scope"
)

// wants asks as who, and wants a status and a text in the answer.
func (s *divided) wants(t *testing.T, who, method, target, body string, want int, shows string) {
	t.Helper()
	if status, answer, _ := s.ask(t, who, method, target, body); status != want || !strings.Contains(answer, shows) {
		t.Errorf("%s: %s %s %s: %d %s, want %d %s", who, method, target, body, status, answer, want, shows)
	}
}

// TestDevicesOfSome: who sees some devices alone makes and changes them, and neither gives one away nor takes one.
func TestDevicesOfSome(t *testing.T) {
	const limited, forbidden = "a token for ann's device", "You do not have permission"
	s := newDivided(t)
	bobs := fmt.Sprintf(`{"name": "x", "key": "ann-2", "user": %d}`, s.bob)
	own := fmt.Sprintf(`{"name": "x", "key": "ann-2", "user": %d}`, s.ann)
	s.wants(t, "ann", "POST", "/api/devices/", bobs, http.StatusForbidden, forbidden)
	s.wants(t, "ann", "POST", "/api/devices/", strings.Replace(own, "ann-2", "bob-1", 1), http.StatusBadRequest, "already exists")
	s.wants(t, "ann", "POST", "/api/devices/", strings.Replace(bobs, `"x"`, `""`, 1), http.StatusBadRequest, "object does not exist")
	s.wants(t, "ann", "PATCH", "/api/devices/ann-1/", fmt.Sprintf(`{"user": %d}`, s.bob), http.StatusForbidden, forbidden)
	s.wants(t, "ann", "PATCH", "/api/devices/bob-1/", fmt.Sprintf(`{"user": %d}`, s.ann), http.StatusNotFound, "Not found.")

	s.wants(t, limited, "POST", "/api/devices/", own, http.StatusForbidden, forbidden)
	s.wants(t, limited, "POST", "/api/devices/", strings.Replace(own, `"key": "ann-2", `, "", 1), http.StatusForbidden, forbidden)
	s.wants(t, limited, "PATCH", "/api/devices/ann-1/", fmt.Sprintf(`{"user": %d}`, s.bob), http.StatusForbidden, forbidden)
	s.wants(t, limited, "PATCH", "/api/devices/ann-1/", `{"name": "ann's"}`, http.StatusOK, `"name":"ann's"`)

	s.wants(t, "ann", "GET", "/api/devices/ann-2/", "", http.StatusNotFound, "")
	s.wants(t, "ann", "POST", "/api/devices/", own, http.StatusCreated, `"key":"ann-2"`)
	s.wants(t, "ann", "GET", "/api/devices/ann-2/", "", http.StatusOK, "") // though what she sees has just been looked up
	s.wants(t, "ann", "POST", "/api/readings/", `{"device_id": "ann-2", "x": 1}`, http.StatusAccepted, `"accepted":1`)

	s.wants(t, "root", "PATCH", "/api/devices/ann-2/", fmt.Sprintf(`{"user": %d}`, s.bob), http.StatusOK, "")
	s.wants(t, "ann", "GET", "/api/devices/ann-2/", "", http.StatusNotFound, "")
	s.wants(t, "ann", "PATCH", "/api/devices/ann-2/", `{"name": "mine"}`, http.StatusNotFound, "")
	s.wants(t, "ann", "DELETE", "/api/devices/ann-2/", "", http.StatusNotFound, "")
	s.wants(t, "bob", "GET", "/api/devices/ann-2/", "", http.StatusUnauthorized, "") // he has no token
}

// TestFormerDevices: what was sent before a device was created, or by one that was deleted, is nobody's to take.
func TestFormerDevices(t *testing.T) {
	s := newDivided(t)
	device := func(key string, owner int64) string {
		return fmt.Sprintf(`{"name": "x", "key": %q, "user": %d}`, key, owner)
	}
	own := func(key string) string { return device(key, s.ann) }
	s.wants(t, "root", "DELETE", "/api/devices/bob-1/", "", http.StatusNoContent, "")
	s.wants(t, "ann", "POST", "/api/devices/", own("bob-1"), http.StatusForbidden, "An operator can create it")
	s.keep(t, iot.DeadLetter{
		Rejection: iot.Rejection{Reason: iot.ReasonNoMetrics, Device: nobody, Bytes: []byte(`{"x":1}`)},
		ID:        iot.DeadLetterID{15: 8}, Source: "sensors/nil-1/data", Received: time.Now().UTC().Truncate(time.Millisecond),
	})
	s.wants(t, "ann", "POST", "/api/devices/", own("nil-1"), http.StatusForbidden, "An operator can create it")
	s.wants(t, "ann", "GET", "/api/devices/nil-1/", "", http.StatusNotFound, "")
	s.wants(t, "ann", "POST", "/api/devices/", own("ann-2"), http.StatusCreated, "")
	s.wants(t, "root", "POST", "/api/devices/", own("nil-1"), http.StatusCreated, "")

	const limited = "a token for ann's device"
	s.wants(t, limited, "DELETE", "/api/devices/ann-1/", "", http.StatusNoContent, "")
	s.wants(t, limited, "POST", "/api/devices/", device("ann-1", s.bob), http.StatusForbidden, "An operator")
}

// TestReadingsOfSome: in a batch, and in what is replayed, others' readings are rejected by themselves.
func TestReadingsOfSome(t *testing.T) {
	s := newDivided(t)
	const batch = `[{"device_id": "ann-1", "x": 1}, {"device_id": "bob-1", "x": 2}, {"device_id": "ann-1", "x": 3}]`
	s.wants(t, "ann", "POST", "/api/readings/", batch, http.StatusAccepted,
		`{"accepted":2,"rejected":[{"index":1,"reason":"device_not_allowed","detail":"its sender may not send for device \"bob-1\""}]}`)
	s.wants(t, "ann", "POST", "/api/devices/ann-1/readings/", `[{"x": 1}, {"device_id": "bob-1", "x": 2}]`, http.StatusAccepted,
		`"rejected":[{"index":1,"reason":"device_id_mismatch"`)
	lines := strings.NewReplacer("[", "", "]", "", "}, {", "}\n{", `"x"`, `"timestamp": "2026-03-01T12:00:00Z", "x"`).Replace(batch)
	s.wants(t, "ann", "POST", importPath, strings.Replace(lines, `:00Z", "x": 3`, `:01Z", "x": 3`, 1), http.StatusAccepted,
		`"accepted":2,"rejected":1,"first_rejected":[{"line":2,"reason":"device_not_allowed"`)
	s.wants(t, "root", "POST", "/api/readings/", batch, http.StatusAccepted, `"accepted":3`)

	s.keep(t, iot.DeadLetter{ // which names another device by the rules of today
		Rejection: iot.Rejection{Reason: iot.ReasonNoRule, Device: anns, Bytes: []byte(`{"temperature": 1}`)},
		ID:        iot.DeadLetterID{15: 7}, Source: "zigbee2mqtt/bob-1", Received: time.Now().UTC().Truncate(time.Millisecond),
	})
	letter := "/api/dead-letters/" + iot.DeadLetterID{15: 7}.String() + "/"
	s.wants(t, "ann", "POST", letter+"replay/", "", http.StatusOK, `"outcome":"rejected","readings":0,"reason":"device_not_allowed"`)
	s.wants(t, "ann", "GET", letter, "", http.StatusOK, `"replayed_at":null`)
	s.wants(t, "ann", "POST", "/api/dead-letters/replay/?reason=no_rule", "", http.StatusOK, `"reason":"device_not_allowed"`)
	s.wants(t, "root", "POST", letter+"replay/", "", http.StatusOK, `"outcome":"replayed"`)
}

// TestWhatIsShared: who asks while an answer is made for somebody who sees everything gets one of his own, and the other way round.
func TestWhatIsShared(t *testing.T) {
	for _, path := range []string{"/api/readings/latest_all/", "/api/readings/stats/"} {
		s := newDivided(t)
		entered, release := make(chan struct{}, 2), make(chan struct{})
		s.api.Latest = slowCache{s.latest, entered, release}
		answers := map[string]string{}
		var mu sync.Mutex
		var wait sync.WaitGroup
		for _, who := range []string{"root", "ann"} {
			wait.Go(func() {
				_, answer, _ := s.ask(t, who, http.MethodGet, path, "")
				mu.Lock()
				defer mu.Unlock()
				answers[who] = answer
			})
			select { // both are on their way
			case <-entered:
			case <-time.After(20 * time.Second):
				t.Errorf("%s: %s waits for another's answer", path, who)
			}
		}
		close(release)
		wait.Wait()
		if got := answers["root"]; !strings.Contains(got, bobs.String()) || !strings.Contains(got, anns.String()) {
			t.Errorf("%s for root: %s", path, got)
		}
		if got := answers["ann"]; strings.Contains(got, bobs.String()) || !strings.Contains(got, anns.String()) {
			t.Errorf("%s for ann: %s", path, got)
		}
	}
}

// slowCache says when it is asked for everything, and waits.
type slowCache struct {
	iot.LatestCache
	entered chan struct{}
	release chan struct{}
}

func (c slowCache) AllLatest(ctx context.Context) ([]iot.Reading, error) {
	c.entered <- struct{}{}
	<-c.release
	return c.LatestCache.AllLatest(ctx)
}

// TestUnchangedForSome: that somebody else has an answer says nothing of one's own.
func TestUnchangedForSome(t *testing.T) {
	s := newDivided(t)
	_, _, header := s.ask(t, "root", http.MethodGet, "/api/devices/", "")
	all := header.Get("Etag")
	_, _, header = s.ask(t, "ann", http.MethodGet, "/api/devices/", "")
	own := header.Get("Etag")
	for who, want := range map[string]string{"root": all, "ann": own} {
		for _, etag := range []string{all, own} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+"/api/devices/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+s.secrets[who])
			r.Header.Set("If-None-Match", etag)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if (answer.StatusCode == http.StatusNotModified) != (etag == want) {
				t.Errorf("%s has %s: %s", who, etag, answer.Status)
			}
		}
	}
}

// TestPagesOfSome: pages are full, and the next ones go on where they end.
func TestPagesOfSome(t *testing.T) {
	s := newDivided(t)
	for i := range 9 { // between ann's
		owner := []int64{s.ann, s.bob, s.bob}[i%3]
		d, err := s.metadata.CreateDevice(t.Context(), iot.Device{ID: iot.DeviceID(i + 1), Name: "x", Owner: owner})
		if err != nil {
			t.Fatal(err)
		}
		s.insert(t, reading(d.ID, i))
	}
	for path, want := range map[string][]int{"/api/devices/?limit=2": {2, 2}, "/api/readings/?limit=4": {4, 2}, "/api/readings/search/?limit=4": {4, 2}} {
		for target := path; target != ""; want = want[1:] {
			_, answer, header := s.ask(t, "ann", http.MethodGet, target, "")
			if len(want) == 0 {
				t.Fatalf("%s: another page: %s", path, answer)
			}
			if n := strings.Count(answer, `"name":`) + strings.Count(answer, `"timestamp":`); n != want[0] || strings.Contains(answer, "bob") {
				t.Errorf("%s: %d, want %d: %s", target, n, want[0], answer)
			}
			target = ""
			if link := header.Get("Link"); link != "" {
				target = link[1:strings.Index(link, ">")]
			}
		}
		if len(want) > 0 {
			t.Errorf("%s: %d pages are missing", path, len(want))
		}
	}
}

// TestTooManyDevices: who sees more devices than can be told from others is told so.
func TestTooManyDevices(t *testing.T) {
	s := newDivided(t)
	for i := range scope.MaxDevices - 1 {
		if _, err := s.metadata.CreateDevice(t.Context(), iot.Device{Name: "x" + fmt.Sprint(i), Owner: s.ann}); err != nil {
			t.Fatal(err)
		}
	}
	another := fmt.Sprintf(`{"name": "x", "user": %d}`, s.ann)
	s.wants(t, "ann", "GET", "/api/readings/", "", http.StatusOK, "ann-1_metric")
	s.wants(t, "ann", "POST", "/api/devices/", another, http.StatusForbidden, "more than 1000 devices")
	s.wants(t, "root", "POST", "/api/devices/", another, http.StatusCreated, "")
	s.wants(t, "ann", "GET", "/api/devices/none/", "", http.StatusForbidden, "more than 1000 devices") // which looks again
	s.wants(t, "ann", "GET", prometheusPrefix+"labels/", "", http.StatusOK, "device")
	s.wants(t, "root", "GET", "/api/readings/", "", http.StatusOK, "bob-1_metric")
}

// TestLiveOfSome: who sees some devices alone is told of them alone, until he sees others, or is let in no more.
func TestLiveOfSome(t *testing.T) {
	s := newDivided(t)
	follow := func(who, query string) chan string {
		events, _ := follow(t, s.addr, query, "", "Bearer "+s.secrets[who])
		if first := next(t, events); !strings.HasPrefix(first, "id: ") {
			t.Fatalf("first %q", first)
		}
		return events
	}
	anns, all := follow("ann", ""), follow("root", "")
	token := s.token(t, "short", iot.Token{User: s.ann, Role: iot.RoleMember})
	short := follow("short", "?metric=x")
	others := follow("ann", "?device_id=bob-1")
	const both = `[{"device_id": "bob-1", "x": 1}, {"device_id": "bob-1"}, {"device_id": "ann-1", "x": 2}]`
	s.wants(t, "root", "POST", "/api/readings/", both, http.StatusAccepted, "")
	s.wants(t, "root", "POST", "/api/readings/", `{"device_id": "ann-1"}`, http.StatusBadRequest, "")
	s.wants(t, "root", "PATCH", "/api/devices/bob-1/", `{"name": "bob's other name"}`, http.StatusOK, "")
	s.wants(t, "root", "PATCH", "/api/devices/ann-1/", `{"name": "ann's other name"}`, http.StatusOK, "")
	kinds := map[string]bool{}
	for len(kinds) < 3 {
		e := next(t, anns)
		if strings.Contains(e, "bob") || strings.Contains(e, bobs.String()) {
			t.Errorf("ann is told %s", e)
		}
		kinds[strings.SplitN(e, "\n", 2)[0]] = true
	}
	for found := 0; found < 3; { // of bob's: a reading, a dead letter and a device
		if strings.Contains(next(t, all), bobs.String()) {
			found++
		}
	}

	ended := func(what string, events chan string, change func()) {
		t.Helper()
		began, deadline := time.Now(), time.After(kafkatest.Timeout)
		change()
		for {
			select {
			case e, ok := <-events:
				if !ok {
					t.Logf("%s: it ends after %v", what, time.Since(began)) // a second is promised, of a machine that is not busy
					return
				}
				if strings.Contains(e, bobs.String()) {
					t.Errorf("%s: %s", what, e)
				}
			case <-deadline:
				t.Fatalf("%s: it does not end", what)
			}
		}
	}
	ended("her token is deleted", short, func() {
		if err := s.metadata.DeleteToken(t.Context(), token.ID); err != nil {
			t.Fatal(err)
		}
	})
	ended("a device is not hers any more", anns, func() {
		s.wants(t, "root", "PATCH", "/api/devices/ann-1/", fmt.Sprintf(`{"user": %d}`, s.bob), http.StatusOK, "")
	})
	ended("a device that was never hers", others, func() {})
}
