package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// client follows no redirects: an answer is the answer.
var client = &http.Client{
	Timeout:       testTimeout,
	Transport:     withToken{},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// withToken has requests to the API that show no token of their own show that of the deployment.
type withToken struct{}

func (withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	if sut.token != "" && r.Header.Get("Authorization") == "" && strings.HasPrefix(r.URL.String(), sut.http+"/") {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+sut.token)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   string
}

// internals are what an answer to a client never shows.
var internals = regexp.MustCompile(`(?i)panic|goroutine|\.go:\d|sql|mongo|redis|kafka|127\.0\.0\.1|0x[0-9a-f]{6}`)

// call sends a request with JSON in its body, when there is one. path may be a URL.
func call(t *testing.T, method, path, body string, header ...string) answer {
	t.Helper()
	if strings.HasPrefix(path, "/") {
		path = sut.http + path
	}
	request, err := http.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return do(t, request)
}

// do sends a request.
func do(t *testing.T, request *http.Request) answer {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	a := answer{response.StatusCode, response.Header, string(text)}
	if a.status >= 400 && internals.MatchString(a.body) {
		t.Errorf("%s %s shows internals: %s", request.Method, request.URL, a.body)
	}
	return a
}

// get returns the answer to a GET, which must be 200 and JSON, as a T that has all its members.
func get[T any](t *testing.T, path string) T {
	t.Helper()
	a := call(t, http.MethodGet, path, "")
	return decode[T](t, a, http.StatusOK)
}

func decode[T any](t *testing.T, a answer, status int) (v T) {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		t.Fatalf("Content-Type %q", kind)
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %.300s", err, a.body)
	}
	return v
}

// wantFields checks for a 400 that names exactly these fields, each with at least one message.
func wantFields(t *testing.T, a answer, fields ...string) {
	t.Helper()
	got := decode[map[string][]string](t, a, http.StatusBadRequest)
	slices.Sort(fields)
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, fields) {
		t.Errorf("the answer names %q, want %q: %s", names, fields, a.body)
	}
	for name, messages := range got {
		if len(messages) == 0 || slices.Contains(messages, "") {
			t.Errorf("%s: messages %q", name, messages)
		}
	}
}

// wantDetail checks for an error with a text.
func wantDetail(t *testing.T, a answer, status int) {
	t.Helper()
	got := decode[map[string]string](t, a, status)
	if len(got) != 1 || got["detail"] == "" {
		t.Errorf("body %s, want a detail alone", a.body)
	}
}

// wantJSON checks for a body that is the same JSON.
func wantJSON(t *testing.T, a answer, want string) {
	t.Helper()
	var got, wanted any
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%v in %.300s", err, a.body)
	}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Error(diff)
	}
}

// reading is one as the API shows it.
type reading struct {
	Device      int64              `json:"device_id"`
	Temperature *float64           `json:"temperature"`
	Humidity    *float64           `json:"humidity"`
	Time        string             `json:"timestamp"`
	Metrics     map[string]float64 `json:"metrics"`
	Attributes  map[string]string  `json:"attributes"`
	Source      string             `json:"timestamp_source"`
	Said        string             `json:"device_timestamp"`
	Status      string             `json:"status"`
	Key         string             `json:"device_key"`
	Times       map[string]string  `json:"times"`
}

var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

// instant parses a time, which must have the one form that all answers have.
func instant(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !timeForm.MatchString(text) {
		t.Errorf("time %q is not RFC 3339 in UTC with milliseconds and Z", text)
	}
	return at
}

// readingsOf returns what is stored of a device, newest first.
func readingsOf(t *testing.T, device int64) []reading {
	t.Helper()
	return get[[]reading](t, fmt.Sprintf("/api/readings/?device_id=%d&limit=10000", device))
}

// next returns the target of the link with rel="next", resolved against where it was found, or "".
func (a answer) next(t *testing.T, base string) string {
	t.Helper()
	link := a.header.Get("Link")
	if link == "" {
		return ""
	}
	match := regexp.MustCompile(`^<([^>]+)>; rel="next"$`).FindStringSubmatch(link)
	if match == nil {
		t.Fatalf(`Link: %s, want <…>; rel="next"`, link)
	}
	from, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	to, err := from.Parse(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return to.String()
}

// object returns v as JSON.
func object(v map[string]any) string {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(v); err != nil {
		panic(err)
	}
	return b.String()
}
