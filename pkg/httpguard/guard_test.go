package httpguard

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/ownca"
)

func TestHandler(t *testing.T) {
	none := map[string]string{}
	tests := []struct {
		name, method, host string
		header             map[string]string
		status             int
	}{
		{"localhost", http.MethodGet, "localhost", none, 200},
		{"localhost with a port, in another spelling", http.MethodGet, "LocalHost.:8000", none, 200},
		{"an address", http.MethodGet, "192.0.2.7:8000", none, 200},
		{"an address of IPv6", http.MethodGet, "[2001:db8::7]:8000", none, 200},
		{"an allowed host", http.MethodGet, "telltale.example.com:443", none, 200},
		{"a foreign host", http.MethodGet, "evil.example", none, 421},
		{"a foreign host that begins with localhost", http.MethodGet, "localhost.evil.example", none, 421},
		{"a foreign host that ends with an allowed one", http.MethodGet, "evil.telltale.example.com", none, 421},
		{"a foreign host in the place of the port", http.MethodGet, "localhost:evil.example", none, 421},
		{"a foreign host with an address before it", http.MethodGet, "127.0.0.1.evil.example", none, 421},
		{"no host", http.MethodGet, "", none, 421},

		{"a write of no page", http.MethodPost, "localhost", none, 200},
		{"a write of a page of ours", http.MethodPost, "localhost:8000", map[string]string{"Origin": "http://localhost:8000"}, 200},
		{"a write that its browser calls ours", http.MethodDelete, "localhost:8000", map[string]string{"Sec-Fetch-Site": "same-origin"}, 200},
		{"a read of a foreign page, which does not get it", http.MethodGet, "localhost", map[string]string{"Sec-Fetch-Site": "cross-site"}, 200},
		{"a write of a foreign page", http.MethodPost, "localhost:8000", map[string]string{"Origin": "http://evil.example"}, 403},
		{"a write of a page on another port", http.MethodPost, "localhost:8000", map[string]string{"Origin": "http://localhost:3000"}, 403},
		{"a write of a page of no origin", http.MethodPost, "localhost:8000", map[string]string{"Origin": "null"}, 403},
		{"a deletion that its browser calls foreign", http.MethodDelete, "localhost", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a write that its browser calls a neighbour's", http.MethodPut, "localhost", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
	}
	served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			g := New(Config{AllowedHosts: []string{"Telltale.example.com"}}, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
			r := httptest.NewRequest(tt.method, "/", nil)
			r.Host = tt.host
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			handler := g.Handler("api", served)
			handler.ServeHTTP(w, r)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d", w.Code, tt.status)
			}
			for reason, status := range map[string]int{reasonHost: 421, reasonOrigin: 403} {
				want := 0.0
				if tt.status == status {
					want = 1
				}
				if got := testutil.ToFloat64(g.refused.WithLabelValues("api", reason)); got != want {
					t.Errorf("%v are counted as %s, want %v", got, reason, want)
				}
			}
			if h := w.Header(); h.Get("X-Frame-Options") != "DENY" || h.Get("X-Content-Type-Options") != "nosniff" ||
				h.Get("Referrer-Policy") != "same-origin" || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
				t.Errorf("headers are %v", h)
			}
			handler.ServeHTTP(httptest.NewRecorder(), r)
			lines := 0
			if tt.status != 200 {
				lines = 1
			}
			if strings.Count(log.String(), "http request refused") != lines || strings.Count(log.String(), "port=api reason=") != lines {
				t.Errorf("the log of two such requests is %q", log.String())
			}
			if tt.status == 200 {
				return
			}
			var body map[string]string
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body) != 1 || body["detail"] == "" ||
				(tt.status == 421) != strings.Contains(body["detail"], "ALLOWED_HOSTS") {
				t.Errorf("body %s, %v", w.Body, err)
			}
		})
	}
}

func TestMayBePage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header map[string]string
		want   bool
	}{
		{"a device", map[string]string{"User-Agent": "Shelly/1.4"}, false},
		{"what a user has typed into a browser", map[string]string{"Sec-Fetch-Site": "none", "Accept-Language": "en"}, false},
		{"a page of ours", map[string]string{"Sec-Fetch-Site": "same-origin", "Referer": "http://localhost:8000/"}, false},
		{"a picture on a foreign page", map[string]string{"Sec-Fetch-Site": "cross-site"}, true},
		{"a picture on a neighbour's page", map[string]string{"Sec-Fetch-Site": "same-site"}, true},
		{"a browser that does not say", map[string]string{"Accept-Language": "en"}, true},
		{"one that says where it was", map[string]string{"Referer": "http://evil.example/"}, true},
		{"a script", map[string]string{"Origin": "null"}, true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for name, value := range tt.header {
			r.Header.Set(name, value)
		}
		if got := MayBePage(r); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := (Config{AllowedHosts: []string{"query-api", "telltale.example.com", "a_b.", "10.0.0.1"}}).Validate(); err != nil {
		t.Error(err)
	}
	for _, host := range []string{"", "*", "*.example.com", ".example.com", "https://example.com", "example.com:8000", "example.com/", "a b"} {
		if err := (Config{AllowedHosts: []string{"localhost", host}}).Validate(); err == nil || !strings.Contains(err.Error(), "ALLOWED_HOSTS") {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// What the machine's own certificate is for needs no setting.
func TestMachineNames(t *testing.T) {
	g := New(Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	names := ownca.MachineNames()
	if len(names) == 0 {
		t.Fatal("the machine has no name")
	}
	for _, name := range names {
		if !g.knows(name + ":8000") {
			t.Errorf("%s is not served", name)
		}
	}
}
