package httpguard

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/telltale-iot/telltale/pkg/settings"
)

func TestShared(t *testing.T) {
	const app, other, foreign = "https://app.example.com", "http://localhost:3000", "https://evil.example"
	listed, anyone, both := []string{app, other}, []string{"*"}, []string{"*", app}
	for _, tt := range []struct {
		name           string
		origins        []string
		method, origin string
		preflight      string // what it is for
		status         int
		allowed        string // Access-Control-Allow-Origin
		methods        string
	}{
		{"a read of an origin that is listed", listed, http.MethodGet, app, "", 200, app, ""},
		{"of another", listed, http.MethodGet, other, "", 200, other, ""},
		{"a write of one", listed, http.MethodPost, app, "", 200, app, ""},
		{"a deletion", listed, http.MethodDelete, other, "", 200, other, ""},
		{"a read of no page", listed, http.MethodGet, "", "", 200, "", ""},
		{"a write of no page", listed, http.MethodPost, "", "", 200, "", ""},
		{"a read of an origin that is not listed, which does not get it", listed, http.MethodGet, foreign, "", 200, "", ""},
		{"a write of one", listed, http.MethodPost, foreign, "", 403, "", ""},
		{"of one that begins alike", listed, http.MethodPost, app + ".evil.example", "", 403, "", ""},
		{"of one that ends alike", listed, http.MethodPost, "https://evilapp.example.com", "", 403, "", ""},
		{"of the same host by http", listed, http.MethodPost, "http://app.example.com", "", 403, "", ""},
		{"of the same host on another port", listed, http.MethodPost, app + ":8443", "", 403, "", ""},
		{"of a page of no origin", listed, http.MethodPost, "null", "", 403, "", ""},
		{"a question beforehand", listed, http.MethodOptions, app, "PATCH", 204, app, "GET, HEAD, POST, PUT, PATCH, DELETE"},
		{"one of a foreign page", listed, http.MethodOptions, foreign, "PATCH", 200, "", ""},
		{"no question", listed, http.MethodOptions, app, "", 200, app, ""},
		{"a read, where any page may", anyone, http.MethodGet, foreign, "", 200, "*", ""},
		{"of a page of no origin", anyone, http.MethodGet, "null", "", 200, "*", ""},
		{"a write, where any page may read", anyone, http.MethodPost, foreign, "", 403, "", ""},
		{"a question about it", anyone, http.MethodOptions, foreign, "POST", 204, "*", "GET, HEAD"},
		{"a write of one that is listed beside them", both, http.MethodPut, app, "", 200, app, ""},
		{"a write of one of them", both, http.MethodPut, other, "", 403, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cors := CORS{Origins: tt.origins}
			if err := cors.Validate(); err != nil {
				t.Fatal(err)
			}
			g := New(Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			handler := g.Shared("api", cors, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest(tt.method, "/", nil)
			r.Host = "localhost:8000"
			if tt.origin != "" {
				r.Header.Set("Origin", tt.origin)
				r.Header.Set("Sec-Fetch-Site", "cross-site")
			}
			if tt.preflight != "" {
				r.Header.Set("Access-Control-Request-Method", tt.preflight)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			h := w.Header()
			if w.Code != tt.status || h.Get("Access-Control-Allow-Origin") != tt.allowed || h.Get("Access-Control-Allow-Methods") != tt.methods ||
				h.Get("Access-Control-Allow-Credentials") != "" || w.Code == 200 && h.Get("Vary") != "Origin" ||
				(h.Get("Access-Control-Expose-Headers") != "") != (tt.allowed != "" && w.Code == 200) {
				t.Errorf("%d %v", w.Code, h)
			}
			if h.Get("X-Frame-Options") != "DENY" {
				t.Errorf("headers are %v", h)
			}
		})
	}
	t.Run("without the setting nothing of it is in an answer", func(t *testing.T) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = "localhost"
		r.Header.Set("Origin", app)
		New(Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()).
			Shared("api", CORS{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control") || name == "Vary" {
				t.Errorf("%v", w.Header())
			}
		}
	})
}

func TestOrigins(t *testing.T) {
	for _, origin := range []string{"https://app.example.com", "http://localhost:3000", "http://192.0.2.7", "https://[2001:db8::7]:8443", "http://xn--kche-0ra.example", "*"} {
		if err := (CORS{Origins: []string{origin}}).Validate(); err != nil {
			t.Errorf("%s: %v", origin, err)
		}
	}
	for _, origin := range []string{
		"", "null", "app.example.com", "https://", "https://app.example.com/", "https://app.example.com/x", "https://app.example.com?x", "https://App.example.com",
		"HTTPS://app.example.com", "https://*.example.com", "https://me@app.example.com", "https://app.example.com:443", "http://localhost:80",
		"https://app.example.com:", "https://app.example.com:x", "ftp://app.example.com", "https://küche.example", "https://app.example.com#", " https://app.example.com", "**",
	} {
		var wrong *settings.Error
		if err := (CORS{Origins: []string{"*", origin}}).Validate(); !errors.As(err, &wrong) || wrong.Variable != "CORS_ORIGINS" {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
