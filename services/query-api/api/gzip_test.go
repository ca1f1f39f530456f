package api

import (
	"compress/gzip"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestAcceptsGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"gzip": true, "GZIP": true, "deflate, gzip;q=1.0, *;q=0.5": true, "br , gzip; q=0.001": true, "*": true, "br, *;q=1": true,
		"": false, "identity": false, "br, deflate": false, "gzip;q=0": false, "gzip; q=0.000, *": false, "*;q=0": false,
		"gzip;q=x": false, "gzipped": false, "x-gzip;q": false,
	} {
		if got := acceptsGzip(http.Header{"Accept-Encoding": {value}}); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	if acceptsGzip(http.Header{}) || !acceptsGzip(http.Header{"Accept-Encoding": {"br", "gzip"}}) {
		t.Error("no such header, or two")
	}
}

func TestGzip(t *testing.T) {
	s := embedded(t)
	var batch []iot.Reading
	for n := range 1000 { // an answer of all of them takes room
		batch = append(batch, reading(1, n))
	}
	s.insert(t, batch...)
	s.put(t, batch[0])
	a := s.api(t, nil)
	addr, stop := start(t, a)
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	ask := func(t *testing.T, method, path, accept string) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept-Encoding", accept)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(body)
	}
	unzip := func(t *testing.T, zipped string) string {
		r, err := gzip.NewReader(strings.NewReader(zipped))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for path, vary := range map[string]string{
		"/api/readings/?limit=1000":         "Accept, Accept-Encoding",
		"/api/devices/1/readings/?limit=10": "Accept, Accept-Encoding",
		"/api/openapi.json":                 "Accept-Encoding",
		"/api/asyncapi.json":                "Accept-Encoding",
	} {
		t.Run("who asks for gzip gets the same in gzip, whole and with its length: "+path, func(t *testing.T) {
			plain, want := ask(t, http.MethodGet, path, "identity")
			if plain.Header.Get("Content-Encoding") != "" || plain.Header.Get("Vary") != vary {
				t.Errorf("who does not ask for it: %v", plain.Header)
			}
			var together sync.WaitGroup
			for range maxCompressors + 1 {
				together.Go(func() {
					answer, body := ask(t, http.MethodGet, path, "gzip, deflate, br")
					if h := answer.Header; h.Get("Content-Encoding") != "gzip" || h.Get("Vary") != vary ||
						h.Get("Content-Type") != "application/json" || h.Get("Content-Length") != strconv.Itoa(len(body)) ||
						h.Get("Link") != plain.Header.Get("Link") {
						t.Errorf("%d bytes with %v", len(body), h)
					}
					if len(body) > len(want)/3 || unzip(t, body) != want {
						t.Errorf("%d bytes, which are not the %d", len(body), len(want))
					}
				})
			}
			together.Wait()
			if head, body := ask(t, http.MethodHead, path, "gzip"); head.Header.Get("Content-Encoding") != "gzip" || body != "" {
				t.Errorf("HEAD: %v", head.Header)
			}
		})
	}
	for _, path := range []string{"/api/latest/1/", "/api/readings/latest_all/", "/api/users/7/"} {
		if answer, body := ask(t, http.MethodGet, path, "gzip"); answer.Header.Get("Content-Encoding") != "" || body == "" || body[0] == 0x1f {
			t.Errorf("a small answer: %s: %v", path, answer.Header)
		}
	}
	if err := stop(); err != nil { // all answers are sent
		t.Fatal(err)
	}
	if !a.limits.sending.TryAcquire(maxSending) {
		t.Error("an answer that was sent still takes room")
	}
}

func TestGzipWithoutRoom(t *testing.T) {
	a := embedded(t).api(t, nil)
	a.Handler()
	random := make([]byte, maxSending/4)
	_, _ = rand.Read(random)
	body := []byte(hex.EncodeToString(random)) // half as long in gzip
	a.limits.sending.TryAcquire(maxSending - int64(len(body)))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	if err := a.send(echo.New().NewContext(r, w), &answer{status: http.StatusOK, body: body}); err != nil {
		t.Fatalf("where there is room for it, but not for the same in gzip beside it: %v", err)
	}
	if w.Header().Get("Content-Encoding") != "" || w.Body.Len() != len(body) {
		t.Errorf("%d bytes with %v, want all %d as they are", w.Body.Len(), w.Header(), len(body))
	}
	if !a.limits.sending.TryAcquire(int64(len(body))) {
		t.Error("an answer that was sent still takes room")
	}
}

func TestGzipBodies(t *testing.T) {
	zip := func(text string) string {
		var b strings.Builder
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	whole := zip(ada)
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"a body in gzip is as good as another", whole, http.StatusCreated},
		{"the longest", zip(ada + strings.Repeat(" ", maxBody-len(ada))), http.StatusCreated},
		{"one that is too long when it is decompressed", zip(ada + strings.Repeat(" ", maxBody-len(ada)+1)), http.StatusRequestEntityTooLarge},
		{"one that ends early", whole[:len(whole)-1], http.StatusBadRequest},
		{"one that is another when it is decompressed", whole[:len(whole)-8] + "\x00" + whole[len(whole)-7:], http.StatusBadRequest},
		{"one that is none", ada, http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := embedded(t).api(t, nil)
			handler := a.Handler()
			for range 2 * maxDecompressors {
				r := httptest.NewRequest(http.MethodPost, "/api/users/", strings.NewReader(tt.body))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Content-Encoding", "GZip")
				w := httptest.NewRecorder()
				if handler.ServeHTTP(w, r); w.Code != tt.status {
					t.Errorf("%d %s, want %d", w.Code, w.Body, tt.status)
				}
				tt.status = max(tt.status, http.StatusBadRequest) // the user exists
			}
			if !a.limits.bodies.TryAcquire(maxBodies) {
				t.Error("an answered request still takes room")
			}
		})
	}
}
