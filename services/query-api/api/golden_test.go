package api

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/telltale-iot/telltale/pkg/daemon"
)

var update = flag.Bool("update", false, "write the answers into testdata instead of comparing them")

// TestCases runs the cases in testdata, each on empty stores, and checks every request and answer by
// openapi.yaml. A case is a text file in the form of txtar:
//
//	what is promised, in a sentence
//	-- stored --
//	readings in the store, one per line
//	-- cached --
//	readings in the cache, one per line
//	-- seen --
//	when devices reported: the id of a device, and how long ago, one per line
//	-- dead letters --
//	dead letters in the store, one per line; there is a Kafka then, as with an empty file `kafka`
//	-- ignored --
//	what bridges ignored, one per line
//	-- bridges --
//	what bridges saw, a part per line
//	-- reports --
//	what services say of themselves, one per line
//	-- refused --
//	whom services refused, one per line
//	-- what is asked, in a few words --
//	POST /api/users/
//	Some-Header: of the request
//
//	the body; application/json where no other Content-Type is given
//	-- answer --
//	201 Created
//	Some-Header: of the answer
//
//	the body, with <time> for when a row was created or ends, a device seen or a dead letter replayed, and <ms> for how long it took,
//	<some> for what a store takes, <secret> for what was generated, <version> for that of the test, and <some time> for how long ago something was
//
// stored, cached, seen, dead letters, ignored, bridges, reports and refused may be missing, and any number of requests may follow one another,
// each with its
// answer. `go test ./api -run TestCases -update` writes the answers.
func TestCases(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			for _, file := range caseFiles(t) {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
					runCase(t, file, b.open(t))
				})
			}
		})
	}
}

func caseFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	return files
}

func runCase(t *testing.T, file string, s stores) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(archive.Files, func(f txtar.File) bool {
		return f.Name == "dead letters" || f.Name == "ignored" || f.Name == "bridges" || f.Name == "reports" || f.Name == "refused" || f.Name == "kafka"
	}) {
		s.startKafka(t)
	}
	server, spec := httptest.NewServer(s.handler(t)), loadSpec(t)
	defer server.Close()
	for i, f := range archive.Files {
		switch f.Name {
		case "stored":
			s.insert(t, parseReadings(t, f.Data)...)
		case "cached":
			s.put(t, parseReadings(t, f.Data)...)
		case "seen":
			s.see(t, f.Data)
		case "dead letters":
			s.keep(t, parseDeadLetters(t, f.Data)...)
		case "ignored":
			s.ignore(t, f.Data)
		case "bridges":
			s.tell(t, f.Data)
		case "reports":
			s.say(t, f.Data)
		case "refused":
			s.refuse(t, f.Data)
		case "answer":
			request := archive.Files[i-1]
			answer := ask(t, server, request.Data)
			got := show(t, answer)
			spec.check(t, request.Name, parseRequest(t, request.Data), answer)
			if *update {
				archive.Files[i].Data = got
			} else if diff := cmp.Diff(string(f.Data), string(got)); diff != "" {
				t.Errorf("%s:\n%s", request.Name, diff)
			}
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func ask(t *testing.T, server *httptest.Server, request []byte) *http.Response {
	t.Helper()
	r := parseRequest(t, request)
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", server.Listener.Addr().String()
	client := *server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	for name, values := range answer.Trailer {
		answer.Header[name] = values
	}
	return answer
}

// parseRequest reads a request as it stands in a case.
func parseRequest(t *testing.T, text []byte) *http.Request {
	t.Helper()
	head, body, _ := strings.Cut(string(text), "\n\n")
	lines := strings.Split(strings.TrimSpace(head), "\n")
	method, target, ok := strings.Cut(lines[0], " ")
	if !ok {
		t.Fatalf("not a request: %q", lines[0])
	}
	body = strings.TrimSuffix(body, "\n")
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Set(name, strings.TrimSpace(value))
	}
	if r.Header.Get("Content-Length") == "0" {
		r.Body = http.NoBody // else the client sends an empty one in chunks
	}
	return r
}

// shown are the headers of an answer that a case shows.
var shown = []string{"Accept-Encoding", "Allow", "Content-Type", "Link", "Location", "Retry-After", "X-Unknown-Parameters",
	"Content-Disposition", "X-Readings-Count", "X-Body-Sha256", "X-Next-Cursor"}

var (
	atSomeTime = regexp.MustCompile(`"(created_at|expires_at|replayed_at|before|last_seen|seen)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)
	tookSome   = regexp.MustCompile(`"(took_ms|query_time_ms)":\d+`)
	whenDone   = regexp.MustCompile(`("id":\d+,"at"):"[^"]+"`)                 // of the audit
	whenAsked  = regexp.MustCompile(`(^\{"at"|"adds_up":\w+,"since"):"[^"]+"`) // of /api/system/
	someSecret = regexp.MustCompile(`"(password|key)":"(ttp_)?[\w-]{43}"`)
	someSkew   = regexp.MustCompile(`"(clock_skew_seconds)":[\d.]+`)
	someAgo    = regexp.MustCompile(`\b(\d+ (days|h|min|s) (ago|ahead|behind)|just now\b)`)
	someToken  = regexp.MustCompile(`"tt_[\w-]{43}"`)
	someBytes  = regexp.MustCompile(`"(\w*bytes\w*|days_until_full|oldest_reading)":[^,{}]+`)
)

// show writes an answer as it stands in a case.
func show(t *testing.T, answer *http.Response) []byte {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d %s\n", answer.StatusCode, http.StatusText(answer.StatusCode))
	for _, name := range shown {
		value := answer.Header.Get(name)
		if value != "" && (name != "Content-Type" || value != "application/json") {
			fmt.Fprintf(&b, "%s: %s\n", name, value)
		}
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body)) // for the next reader
	if len(body) > 0 {
		body = bytes.ReplaceAll(body, []byte("\r"), []byte("␍")) // which git would not keep
		body = atSomeTime.ReplaceAll(body, []byte(`"$1":"<time>"`))
		body = whenDone.ReplaceAll(body, []byte(`$1:"<time>"`))
		body = whenAsked.ReplaceAll(body, []byte(`$1:"<time>"`))
		body = bytes.ReplaceAll(body, []byte(`"version":"`+daemon.Version()+`"`), []byte(`"version":"<version>"`))
		body = someToken.ReplaceAll(body, []byte(`"tt_<some>"`))
		body = someBytes.ReplaceAll(body, []byte(`"$1":"<some>"`))
		body = someSecret.ReplaceAll(body, []byte(`"$1":"$2<secret>"`))
		body = someSkew.ReplaceAll(body, []byte(`"$1":"<some>"`))
		body = someAgo.ReplaceAll(body, []byte("<some time>"))
		fmt.Fprintf(&b, "\n%s\n", tookSome.ReplaceAll(body, []byte(`"$1":"<ms>"`)))
	}
	return b.Bytes()
}
