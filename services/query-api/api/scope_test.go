package api

import (
	"cmp"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	diff "github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

// divided is a site with a device of ann's and one of bob's.
type divided struct {
	stores
	api      *API
	addr     string
	ann, bob int64
	secrets  map[string]string // of tokens, by who has them

	credentials map[iot.DeviceID]int64 // one of each device
}

// The devices of a divided site, which have readings, latest values and dead letters, and one that nobody has.
var (
	anns   = iot.KeyID("ann-1")
	bobs   = iot.KeyID("bob-1")
	nobody = iot.KeyID("nil-1")
)

// Dead letters of a divided site.
var (
	annsLetter  = iot.DeadLetterID{15: 1}
	bobsLetter  = iot.DeadLetterID{15: 2}
	otherLetter = iot.DeadLetterID{15: 3} // of which nobody knows whose it is
)

// newDivided starts an API, for which everybody needs credentials.
func newDivided(t *testing.T) *divided {
	t.Helper()
	s := &divided{stores: embedded(t), secrets: map[string]string{}, credentials: map[iot.DeviceID]int64{}}
	s.startKafka(t)
	users := map[string]int64{}
	for name, role := range map[string]iot.Role{"ann": iot.RoleMember, "bob": iot.RoleMember, "root": iot.RoleAdmin} {
		u, err := s.metadata.CreateAccount(t.Context(), iot.User{Username: name, Email: name + "@example.com"}, iot.Account{Role: role})
		if err != nil {
			t.Fatal(err)
		}
		users[name] = u.ID
	}
	s.ann, s.bob = users["ann"], users["bob"]
	s.token(t, "ann", iot.Token{User: s.ann, Role: iot.RoleMember})
	s.token(t, "a token for ann's device", iot.Token{User: users["root"], Role: iot.RoleAdmin, Devices: []iot.DeviceID{anns}})
	s.token(t, "a token of ann's for bob's too", iot.Token{User: s.ann, Role: iot.RoleMember, Devices: []iot.DeviceID{anns, bobs}})
	s.token(t, "root", iot.Token{User: users["root"], Role: iot.RoleAdmin})

	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, d := range []struct {
		id     iot.DeviceID
		key    string
		owner  int64
		n      int
		letter iot.DeadLetterID
	}{{anns, "ann-1", s.ann, 3, annsLetter}, {bobs, "bob-1", s.bob, 5, bobsLetter}} {
		if _, err := s.metadata.CreateDevice(t.Context(), iot.Device{ID: d.id, Key: d.key, Name: d.key + "'s name", Owner: d.owner}); err != nil {
			t.Fatal(err)
		}
		c, err := s.metadata.CreateCredential(t.Context(), iot.Credential{
			Type: iot.CredentialPassword, Name: d.key, Device: d.id, Devices: []iot.DeviceID{d.id}, Secret: auth.Hash(d.key),
		})
		if err != nil {
			t.Fatal(err)
		}
		s.credentials[d.id] = c.ID
		for i := range d.n {
			r := iot.Reading{
				Device: d.id, Key: d.key, At: now.Add(time.Duration(i-10) * time.Second), Received: now, Stamped: iot.StampDevice,
				Metrics: []iot.Metric{{Name: d.key + "_metric", Value: 1}, {Name: iot.Temperature, Value: float64(i)}},
			}
			s.insert(t, r)
			s.put(t, r)
		}
		s.keep(t, iot.DeadLetter{
			Rejection: iot.Rejection{Reason: iot.ReasonNoMetrics, Device: d.id, Bytes: []byte(`{"x":1}`)},
			ID:        d.letter, Source: "sensors/" + d.key + "/data", TopicDevice: d.key, Received: now,
		})
	}
	s.keep(t, iot.DeadLetter{
		Rejection: iot.Rejection{Reason: iot.ReasonInvalidJSON, Bytes: []byte(`bob-1`)}, ID: otherLetter, Source: "sensors/ann-1/bob-1", Received: now,
	})
	s.ignore(t, []byte(`{"topic": "sensor/ann-1/data", "count": 1, "last": "2026-03-01T12:00:00Z", "example": "bob-1", "replica": "bridge-1"}`+"\n"))
	a := s.stores.api(t, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	a.Auth = access.New(access.Settings{Mode: auth.On, Store: s.metadata, Log: a.Log})
	s.api = a
	s.addr, _ = start(t, a)
	return s
}

// token makes a token for who.
func (s *divided) token(t *testing.T, who string, token iot.Token) iot.Token {
	t.Helper()
	s.secrets[who] = auth.NewSecret(auth.TokenPrefix)
	token.Name = who
	token, err := s.metadata.CreateToken(t.Context(), token, auth.Hash(s.secrets[who]))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// ask sends a request as who.
func (s *divided) ask(t *testing.T, who, method, target, body string) (status int, answer string, header http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.addr+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.secrets[who])
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
		if strings.HasPrefix(target, importPath) {
			r.Header.Set("Content-Type", "application/x-ndjson")
		}
		if strings.HasPrefix(target, prometheusPrefix) {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range got.Trailer {
		got.Header[name] = values
	}
	return got.StatusCode, string(b), got.Header
}

// limitedCase is how a route is asked about a device, and what becomes of it. {key}, {id}, {letter} and {user} are the device's; what has
// none of them is about all devices.
type limitedCase struct {
	route        string // as in routes, without its slash at the end
	target, body string
	own, others  int // status, where it is about a device
	shows        string
}

// limitedCases are for each route that is by device, in an order in which they do not disturb each other.
var limitedCases = []limitedCase{
	{"GET /api/users", "/api/users/", "", 0, 0, ""},
	{"GET /api/users/:id", "/api/users/{user}/", "", 200, 404, ""},

	{"GET /api/devices", "/api/devices/", "", 0, 0, `"key":"ann-1"`},
	{"GET /api/devices", "/api/devices/?q=-1", "", 0, 0, `"key":"ann-1"`},
	{"GET /api/devices", "/api/devices/?user={user}", "", 200, 200, `"key":"ann-1"`},
	{"GET /api/devices/:id", "/api/devices/{key}/", "", 200, 404, `"key":"ann-1"`},
	{"PUT /api/devices/:id", "/api/devices/{id}/", `{"name": "x", "user": {ann}}`, 200, 404, `"key":"ann-1"`},
	{"PATCH /api/devices/:id", "/api/devices/{id}/", `{"name": "y"}`, 200, 404, `"name":"y"`},
	{"GET /api/devices/:id/readings", "/api/devices/{id}/readings/", "", 200, 404, "ann-1_metric"},
	{"GET /api/devices/:id/readings", "/api/devices/{id}/readings/?format=csv", "", 200, 404, "ann-1_metric"},
	{"GET /api/devices/:id/series", "/api/devices/{id}/series/?metric=temperature&interval=raw", "", 200, 404, `"count":[1,1,1]`},
	{"GET /api/devices/:id/latest", "/api/devices/{id}/latest/", "", 200, 404, `"temperature":2`},
	{"GET /api/devices/:id/trace", "/api/devices/{id}/trace/", "", 200, 404, annsLetter.String()},
	{"GET /api/latest/:id", "/api/latest/{id}/", "", 200, 404, `"temperature":2`},

	{"GET /api/readings", "/api/readings/", "", 0, 0, "ann-1_metric"},
	{"GET /api/readings", "/api/readings/?device_id={id}", "", 200, 200, "ann-1_metric"},
	{"GET /api/readings", "/api/readings/?format=csv", "", 0, 0, "ann-1_metric"},
	{"GET /api/readings/export", "/api/readings/export/", "", 0, 0, "ann-1_metric"},
	{"GET /api/readings/export", "/api/readings/export/?format=csv", "", 0, 0, "ann-1_metric"},
	{"GET /api/readings/export", "/api/readings/export/?format=parquet", "", 0, 0, "ann-1_metric"},
	{"GET /api/readings/export", "/api/readings/export/?device_id={id}", "", 200, 200, "ann-1_metric"},
	{"GET /api/readings/latest_all", "/api/readings/latest_all/", "", 0, 0, "ann-1_metric"},
	{"GET /api/readings/search", "/api/readings/search/?q=temperature:>0", "", 0, 0, `"total":2`},
	{"GET /api/readings/search", "/api/readings/search/?q=temperature:>0&device_id={id}", "", 200, 200, `"total":2`},
	{"GET /api/readings/stats", "/api/readings/stats/", "", 0, 0, `"total_readings":3`},
	{"GET /api/readings/stats", "/api/readings/stats/", "", 0, 0, `"size_bytes":null,"rollups_bytes":null,"free_bytes":null`},
	{"GET /api/readings/aggregations", "/api/readings/aggregations/", "", 0, 0, `"total_documents":3`},
	{"GET /api/readings/aggregations", "/api/readings/aggregations/?device_id={id}", "", 200, 200, `"total_documents":3`},
	{"GET /api/series", "/api/series/?device_id={id}&metric=temperature&interval=raw", "", 200, 200, `"count":[1,1,1]`},
	{"GET /api/series", "/api/series/?device_id={id}", "", 200, 200, "ann-1_metric"},

	{"GET /api/dead-letters", "/api/dead-letters/", "", 0, 0, annsLetter.String()},
	{"GET /api/dead-letters", "/api/dead-letters/?device_id={id}", "", 200, 200, annsLetter.String()},
	{"GET /api/dead-letters/stats", "/api/dead-letters/stats/", "", 0, 0, `{"total":1,`},
	{"GET /api/dead-letters/stats", "/api/dead-letters/stats/?topic=sensors/%23", "", 0, 0, `{"total":1,`},
	{"GET /api/dead-letters/:id", "/api/dead-letters/{letter}/", "", 200, 404, annsLetter.String()},
	{"GET /api/dead-letters/:id", "/api/dead-letters/" + otherLetter.String() + "/{id}", "", 404, 404, ""},
	{"POST /api/dead-letters/:id/replay", "/api/dead-letters/{letter}/replay/", `{"payload": {"device_id": "ann-1", "x": 1}}`, 200, 404, `"outcome":"replayed"`},
	{"POST /api/dead-letters/replay", "/api/dead-letters/replay/", "", 0, 0, `{"results":[],"remaining":0}`},

	{"POST /api/devices/:id/readings", "/api/devices/{id}/readings/", `{"x": 1}`, 202, 404, `"accepted":1`},
	{"POST /api/readings", "/api/readings/", `{"device_id": "{key}", "x": 1}`, 202, 400, `"accepted":1`},
	{"POST " + importPath, importPath, `{"device_id": "{key}", "x": 1, "timestamp": "2026-03-01T12:00:00Z"}`, 202, 400, `"accepted":1`},
	{"POST " + importPath, importPath, `{"device_id":{id},"temperature":1,"humidity":null,"timestamp":"2026-03-01T12:00:00Z"}`, 202, 400, `"accepted":1`},
	{"GET " + webhookPrefix + "*", webhookPrefix + "zigbee2mqtt/{key}?x=1", "", 202, 400, `"accepted":1`},
	{"POST " + webhookPrefix + "*", webhookPrefix + "zigbee2mqtt/{key}", `{"x": 1}`, 202, 400, `"accepted":1`},

	{"GET " + prometheusPrefix + "query", prometheusPrefix + "query/?query=temperature", "", 0, 0, anns.String()},
	{"GET " + prometheusPrefix + "query", prometheusPrefix + "query/?query=temperature{device=%22{id}%22}", "", 200, 200, anns.String()},
	{"POST " + prometheusPrefix + "query", prometheusPrefix + "query/", "query=count(temperature)", 0, 0, `"1"]`},
	{"GET " + prometheusPrefix + "query_range", prometheusPrefix + "query_range/?query=temperature&start={now}&end={now}&step=1", "", 0, 0, anns.String()},
	{"POST " + prometheusPrefix + "query_range", prometheusPrefix + "query_range/", "query=temperature&start={now}&end={now}&step=1", 0, 0, anns.String()},
	{"GET " + prometheusPrefix + "series", prometheusPrefix + "series/?match[]={device=~%22.%2B%22}", "", 0, 0, "ann-1_metric"},
	{"POST " + prometheusPrefix + "series", prometheusPrefix + "series/", "match[]={device=%22{id}%22}", 200, 200, "ann-1_metric"},
	{"GET " + prometheusPrefix + "label/:label/values", prometheusPrefix + "label/device/values/", "", 0, 0, anns.String()},
	{"GET " + prometheusPrefix + "label/:label/values", prometheusPrefix + "label/__name__/values/", "", 0, 0, "ann-1_metric"},
	{"GET " + prometheusPrefix + "metadata", prometheusPrefix + "metadata/", "", 0, 0, "ann-1_metric"},

	{"GET /api/devices/:id/credentials", "/api/devices/{id}/credentials/", "", 200, 404, `"username":"ann-1"`},
	{"DELETE /api/devices/:id/credentials/:cid", "/api/devices/{id}/credentials/{cid}/", "", 204, 404, ""},
	{"DELETE /api/devices/:id/credentials/:cid", "/api/devices/ann-1/credentials/{cid}/", "", 404, 404, ""}, // his own is gone
	{"POST /api/devices/:id/credentials", "/api/devices/{id}/credentials/", `{"type": "password"}`, 201, 404, `"username":"ann-1"`},

	{"DELETE /api/dead-letters/:id", "/api/dead-letters/{letter}/", "", 204, 404, ""},
	{"DELETE /api/dead-letters", "/api/dead-letters/?topic=sensors/%23", "", 0, 0, `{"deleted":0}`},
	{"DELETE /api/devices/:id", "/api/devices/{id}/", "", 204, 404, ""},
	{"POST /api/devices", "/api/devices/", `{"key": "{key}", "name": "x", "user": {ann}}`, 403, 0, "An operator can create it"}, // since it has sent something
}

// shownElsewhere are routes that are by device, and have a test of their own.
var shownElsewhere = map[string]string{
	"GET /api/live": "TestLiveOfSome",
}

// TestLimited asks for each route as who sees some devices alone, about one that he sees and about another one. Nothing of the other one is in any answer,
// and nothing of it changes.
func TestLimited(t *testing.T) {
	names := func(r route) string { return r.method + " " + strings.TrimSuffix(r.path, "/") }
	known := map[string]bool{}
	for _, c := range limitedCases {
		known[strings.TrimSuffix(c.route, "/")] = true
	}
	var forbidden []string
	for _, r := range embedded(t).api(t, nil).routes() {
		switch name := names(r); r.reach {
		case byDevice:
			if !known[name] && shownElsewhere[name] == "" {
				t.Errorf("no case is about %s", name)
			}
		case whole:
			forbidden = append(forbidden, name)
		case noDevices:
		default:
			t.Errorf("%s does not say what it is for who sees some devices alone", name)
		}
	}
	for _, who := range []string{"ann", "a token for ann's device", "a token of ann's for bob's too"} {
		t.Run(who, func(t *testing.T) {
			t.Parallel()
			s := newDivided(t)
			before := s.everythingOfBob(t)
			for _, c := range limitedCases {
				s.check(t, who, c)
			}
			for _, route := range forbidden {
				method, path, _ := strings.Cut(route, " ")
				if status, answer, _ := s.ask(t, who, method, path+"/", ""); status != http.StatusForbidden {
					t.Errorf("%s: %d %s", route, status, answer)
				}
			}
			if changed := diff.Diff(before, s.everythingOfBob(t)); changed != "" {
				t.Errorf("of bob's device (-before +after):\n%s", changed)
			}
		})
	}
}

// check asks about both devices.
func (s *divided) check(t *testing.T, who string, c limitedCase) {
	t.Helper()
	method, _, _ := strings.Cut(c.route, " ")
	fill := func(text, key string, id iot.DeviceID, letter iot.DeadLetterID, user int64) string {
		return strings.NewReplacer("{key}", key, "{id}", id.String(), "{letter}", letter.String(), "{user}", strconv.FormatInt(user, 10),
			"{cid}", strconv.FormatInt(cmp.Or(s.credentials[id], 999), 10),
			"{ann}", strconv.FormatInt(s.ann, 10), "{now}", strconv.FormatInt(time.Now().Unix(), 10)).Replace(text)
	}
	self := s.ann
	if who == "a token for ann's device" {
		self = 0 // of which it sees nothing
	}
	if self == 0 && strings.Contains(c.target, "{user}") {
		return
	}
	status, answer, header := s.ask(t, who, method, fill(c.target, "ann-1", anns, annsLetter, s.ann), fill(c.body, "ann-1", anns, annsLetter, s.ann))
	if c.own != 0 && status != c.own || c.own == 0 && status != http.StatusOK || !strings.Contains(answer, c.shows) && !strings.Contains(c.target, "parquet") {
		t.Errorf("%s %s about his own: %d %s, want %d and %s", method, c.target, status, answer, c.own, c.shows)
	}
	if n := header.Get(trailerCount); n != "" && n != "3" {
		t.Errorf("%s %s: %s readings", method, c.target, n)
	}
	if strings.Contains(answer, "bob") || strings.Contains(answer, bobs.String()) {
		t.Errorf("%s %s tells of another's: %s", method, c.target, answer)
	}
	if c.others == 0 {
		return
	}
	target, body := fill(c.target, "bob-1", bobs, bobsLetter, s.bob), fill(c.body, "bob-1", bobs, bobsLetter, s.bob)
	status, answer, _ = s.ask(t, who, method, target, body)
	if status != c.others {
		t.Errorf("%s %s about another's: %d %s, want %d", method, c.target, status, answer, c.others)
	}
	if status == http.StatusBadRequest && !strings.Contains(answer, "device_not_allowed") {
		t.Errorf("%s %s about another's: %s", method, c.target, answer)
	}
	none, without, _ := s.ask(t, who, method, fill(c.target, "nil-1", nobody, iot.DeadLetterID{15: 9}, 999), fill(c.body, "nil-1", nobody, iot.DeadLetterID{15: 9}, 999))
	hide := func(answer string) string {
		answer = strings.NewReplacer("bob-1", "KEY", "nil-1", "KEY", bobs.String(), "ID", nobody.String(), "ID").Replace(answer)
		return tookSome.ReplaceAllString(sometimes.ReplaceAllString(answer, "TIME"), "MS")
	}
	if none != status || hide(without) != hide(answer) {
		t.Errorf("%s %s about another's: %d %s, but about none: %d %s", method, c.target, status, answer, none, without)
	}
}

// sometimes are times that depend on when it was asked.
var sometimes = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"|\[\d+(\.\d+)?,`)

// everythingOfBob is what root sees of his device.
func (s *divided) everythingOfBob(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, path := range []string{
		"/api/devices/bob-1/", "/api/devices/bob-1/readings/", "/api/devices/bob-1/latest/", "/api/dead-letters/" + bobsLetter.String() + "/",
		"/api/dead-letters/" + otherLetter.String() + "/", "/api/devices/bob-1/credentials/", "/api/users/" + strconv.FormatInt(s.bob, 10) + "/",
	} {
		status, answer, _ := s.ask(t, "root", http.MethodGet, path, "")
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		all[path] = answer
	}
	return all
}
