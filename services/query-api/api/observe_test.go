package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRequestID(t *testing.T) {
	handler := embedded(t).handler(t)
	for given, kept := range map[string]bool{
		"req-7_A.b": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, `a"b`: false, "ä": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/users/", nil)
		r.Header.Set("X-Request-Id", given)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		got := w.Header().Get("X-Request-Id")
		if got == "" || (got == given) != kept {
			t.Errorf("given %q, answered %q", given, got)
		}
	}
	if a, b := get(handler, "/").Header().Get("X-Request-Id"), get(handler, "/").Header().Get("X-Request-Id"); a == b {
		t.Errorf("two requests have the id %q", a)
	}
}

func TestMetrics(t *testing.T) {
	metrics := prometheus.NewRegistry()
	a := embedded(t).api(t, nil)
	a.Metrics = metrics
	handler := a.Handler()
	for _, path := range []string{"/api/users/", "/api/users", "/api/users/7/", "/api/users/8", "/what/ever", "/else"} {
		get(handler, path)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("BREW", "/api/users/", nil))
	want := `
		# HELP telltale_http_requests_total HTTP requests answered, by route, method and status code.
		# TYPE telltale_http_requests_total counter
		telltale_http_requests_total{code="200",method="GET",route="/api/users/"} 2
		telltale_http_requests_total{code="404",method="GET",route="/api/users/:id/"} 2
		telltale_http_requests_total{code="404",method="GET",route="unmatched"} 2
		telltale_http_requests_total{code="405",method="other",route="/api/users/"} 1
	`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "telltale_http_requests_total"); err != nil {
		t.Error(err)
	}
}
