package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	csvHeader = "timestamp,device_id,device_key,temperature,humidity,\"'=1\",co2,metrics,attributes,timestamp_source,device_timestamp\r\n"
	csvRow    = "2026-03-01T12:00:%02d.000Z,%d,,21.5,,,,,\"{\"\"a\"\":\"\"b\"\"}\",server,\"'-noon\n or so\"\r\n"
	line      = `{"device_id":%[2]d,"temperature":21.5,"humidity":null,"timestamp":"2026-03-01T12:00:%02[1]d.000Z"}` + "\n"
)

// server exports ten readings, of which each request gets what is left of them, up to cut bytes of it.
type server struct {
	cut     int
	wrong   bool // the hash is
	queries []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.queries = append(s.queries, r.URL.RawQuery)
	q := r.URL.Query()
	first := 0
	if cursor := q.Get("cursor"); cursor != "" {
		var device int
		if _, err := fmt.Sscanf(cursor, "2026-03-01T12:00:%02d.000Z,%d", &first, &device); err != nil || device != first+1 {
			http.Error(w, `{"detail":"Invalid cursor."}`, http.StatusBadRequest)
			return
		}
		first++
	}
	var body []byte
	if q.Get("format") == "csv" && first == 0 {
		body = []byte(csvHeader)
	}
	for i := first; i < 10; i++ {
		row := line
		if q.Get("format") == "csv" {
			row = csvRow
		}
		body = fmt.Appendf(body, row, i, i+1)
	}
	w.Header().Set("Trailer", "X-Readings-Count, X-Body-Sha256")
	if s.cut > 0 && s.cut < len(body) {
		_, _ = w.Write(body[:s.cut])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
	w.Header().Set("X-Readings-Count", fmt.Sprint(10-first))
	if s.wrong {
		body = nil
	}
	w.Header().Set("X-Body-Sha256", fmt.Sprintf("%x", sha256.Sum256(body)))
}

// run runs the program, and returns what it ends with.
func run(t *testing.T, url string, args ...string) (int, error) {
	t.Helper()
	cmd := command()
	cmd.SetArgs(append(args, "--url", url, "--quiet"))
	cmd.SetOut(io.Discard)
	err := cmd.ExecuteContext(context.WithoutCancel(t.Context()))
	return code(err), err
}

func TestExport(t *testing.T) {
	t.Run("a file that broke off anywhere is gone on with, without a gap and without a repetition", func(t *testing.T) {
		for _, format := range []string{"ndjson", "csv"} {
			s := &server{}
			l := httptest.NewServer(s)
			defer l.Close()
			dir := t.TempDir()
			whole := filepath.Join(dir, "whole."+format)
			if got, err := run(t, l.URL, "export", "-o", whole); got != 0 {
				t.Fatal(got, err)
			}
			want, err := os.ReadFile(whole)
			if err != nil {
				t.Fatal(err)
			}
			for cut := 1; cut < len(want); cut++ {
				s.cut = cut
				file := filepath.Join(dir, fmt.Sprint(cut, ".", format))
				if got, err := run(t, l.URL, "export", "-o", file); got != exitIncomplete {
					t.Fatalf("cut off at %d: %d, %v", cut, got, err)
				}
				if b, err := os.ReadFile(file); err == nil {
					t.Fatalf("cut off at %d, and there is a file of %d bytes", cut, len(b))
				}
				s.cut = 0
				if got, err := run(t, l.URL, "export", "--continue", file); got != 0 {
					t.Fatalf("cut off at %d: %d, %v", cut, got, err)
				}
				if got, _ := os.ReadFile(file); !bytes.Equal(got, want) {
					t.Fatalf("cut off at %d:\n%s\nwant\n%s", cut, got, want)
				}
			}
			if last := s.queries[len(s.queries)-1]; format == "csv" && !strings.Contains(last, "column=%3D1&column=co2") {
				t.Errorf("the columns are not in %s", last)
			}
		}
	})
	t.Run("the file that is there stays until another is whole", func(t *testing.T) {
		const years = "years of readings"
		s := &server{cut: 100}
		l := httptest.NewServer(s)
		defer l.Close()
		file := filepath.Join(t.TempDir(), "x.ndjson")
		if err := os.WriteFile(file, []byte(years), 0o600); err != nil {
			t.Fatal(err)
		}
		for url, want := range map[string]int{"http://127.0.0.1:1": exitFailed, l.URL: exitIncomplete} {
			if got, err := run(t, url, "export", "-o", file); got != want {
				t.Fatalf("%d, %v", got, err)
			}
			if got, _ := os.ReadFile(file); string(got) != years {
				t.Errorf("there is left %q", got)
			}
		}
		s.cut = 0
		if got, err := run(t, l.URL, "export", "-o", file); got != 0 {
			t.Fatalf("%d, %v", got, err)
		}
		if got, _ := os.ReadFile(file); bytes.Count(got, []byte{'\n'}) != 10 {
			t.Errorf("there is %q", got)
		}
		if files, _ := filepath.Glob(file + "?*"); len(files) > 0 {
			t.Errorf("there is also %q", files)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %v, %v", info.Mode(), err)
		}
	})
	t.Run("one that is not what was sent is not whole", func(t *testing.T) {
		l := httptest.NewServer(&server{wrong: true})
		defer l.Close()
		if got, err := run(t, l.URL, "export", "-o", filepath.Join(t.TempDir(), "x.ndjson")); got != exitIncomplete || !strings.Contains(fmt.Sprint(err), "SHA-256") {
			t.Errorf("%d, %v", got, err)
		}
	})
	t.Run("asks for what the flags say, and says where there is nothing of it", func(t *testing.T) {
		var asked string
		l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = r.URL.RawQuery
			w.Header().Set("Trailer", "X-Readings-Count, X-Body-Sha256")
			w.WriteHeader(http.StatusOK)
			w.Header().Set("X-Readings-Count", "0")
			w.Header().Set("X-Body-Sha256", fmt.Sprintf("%x", sha256.Sum256(nil)))
		}))
		defer l.Close()
		cmd, said := command(), new(bytes.Buffer)
		cmd.SetErr(said)
		cmd.SetArgs([]string{"export", "--url", l.URL, "-q", "-o", os.DevNull, "-d", "42", "-d", "rack 1, slot 2", "-d", `a\`, "--since", "2026-03-01T12:00:00.0005Z", "--until", "0001-01-01"})
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := url.Values{
			"format": {"ndjson"}, "device_id": {"42", `rack 1\, slot 2`, `a\\`},
			"since": {"2026-03-01T12:00:00.0005Z"}, "until": {"0001-01-01T00:00:00Z"},
		}.Encode()
		if asked != want || !strings.Contains(said.String(), "no readings") {
			t.Errorf("asked %s, want %s; said %q", asked, want, said)
		}
	})
	t.Run("what the server does not take is said as it says it", func(t *testing.T) {
		l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"until":["It must not be before \u0060since\u0060."],"since":["It must not be after \u0060until\u0060."]}`, http.StatusBadRequest)
		}))
		defer l.Close()
		got, err := run(t, l.URL, "export", "--since", "2d", "--until", "3d")
		const want = "400 Bad Request: since: It must not be after `until`. until: It must not be before `since`."
		if got != exitUsage || err.Error() != want {
			t.Errorf("%d, %v", got, err)
		}
	})
	t.Run("what is called wrongly, or cannot be reached, says so", func(t *testing.T) {
		l := httptest.NewServer(&server{})
		for want, args := range map[int][][]string{
			exitUsage:  {{"export", "--format", "xlsx"}, {"export", "--since", "noon"}, {"export", "x"}, {"export", "-o", "a", "--continue", "b"}, {"import"}},
			exitFailed: {{"export", "-o", t.TempDir()}, {"export", "--continue", filepath.Join(t.TempDir(), "typo.ndjson")}, {"import", "nowhere.csv"}},
		} {
			for _, args := range args {
				if got, err := run(t, l.URL, args...); got != want || err == nil {
					t.Errorf("%q: %d, %v", args, got, err)
				}
			}
		}
		l.Close()
		if got, err := run(t, l.URL, "export", "-o", filepath.Join(t.TempDir(), "x")); got != exitFailed {
			t.Errorf("%d, %v", got, err)
		}
	})
}

func TestVersion(t *testing.T) {
	cmd, out := command(), new(bytes.Buffer)
	cmd.SetArgs([]string{"--version"})
	cmd.SetOut(out)
	if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.HasPrefix(out.String(), "telltale version ") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestMoment(t *testing.T) {
	e := &export{now: time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)}
	for text, want := range map[string]string{
		"7d": "2026-03-01T12:00:00Z", "90m": "2026-03-08T10:30:00Z", "1w": "2026-03-01T12:00:00Z", "2026-03-01": "2026-03-01T00:00:00Z",
		"2026-03-01T12:00:00+01:00": "2026-03-01T11:00:00Z",
	} {
		got, err := e.moment("since", text)
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"noon", "7y", "d", "99999999999999d", "9999999w"} {
		if got, err := e.moment("since", text); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestImport(t *testing.T) {
	var body []byte
	var coding string
	answer := `{"done":true,"lines":2,"accepted":2,"rejected":0,"first_rejected":[]}`
	l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		coding = r.Header.Get("Content-Encoding")
		w.WriteHeader(http.StatusAccepted)
		_, _ = fmt.Fprintf(w, "{\"done\":false,\"lines\":1,\"accepted\":1,\"rejected\":0,\"first_rejected\":[]}\n%s\n", answer)
	}))
	defer l.Close()
	file := filepath.Join(t.TempDir(), "x.csv.gz")
	if err := os.WriteFile(file, []byte("all of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := run(t, l.URL, "import", file, file); got != 0 || string(body) != "all of it" || coding != "gzip" {
		t.Errorf("%d, %v: %q in %s", got, err, body, coding)
	}
	for text, want := range map[string]int{
		`{"done":true,"lines":2,"accepted":1,"rejected":1,"first_rejected":[{"line":2,"reason":"no_metrics","detail":"none"}]}`: exitRejected,
		`{"done":false,"detail":"A store is not available.","lines":1,"accepted":1,"rejected":0,"first_rejected":[]}`:           exitIncomplete,
	} {
		answer = text
		if got, err := run(t, l.URL, "import", file); got != want || err == nil {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}
