package api

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/services/query-api/oidc"
)

// byProvider is an API by whose provider, which a test plays, people log in.
func byProvider(t *testing.T) (s *secured, lines *bytes.Buffer) {
	t.Helper()
	s, lines = secure(t, auth.On), new(bytes.Buffer)
	s.api.Log = slog.New(slog.NewTextHandler(lines, nil))
	mux := http.NewServeMux()
	provider := httptest.NewServer(mux)
	t.Cleanup(provider.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"issuer": "` + provider.URL + `", "authorization_endpoint": "` + provider.URL + `/auth"}`))
	})
	s.api.OIDC = oidc.New(oidc.Config{Issuer: provider.URL, ClientID: "telltale"})
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s, lines
}

// TestFlowCookie looks at what a browser keeps while somebody is at the provider, and who can put it there.
func TestFlowCookie(t *testing.T) {
	s, _ := byProvider(t)
	for _, secure := range []bool{true, false} {
		ask := func(path, cookie string) (*http.Cookie, *url.URL) {
			t.Helper()
			r := httptest.NewRequest(http.MethodGet, path, nil)
			if secure {
				r.TLS = new(tls.ConnectionState)
			}
			if cookie != "" {
				r.Header.Set("Cookie", cookie)
			}
			w := httptest.NewRecorder()
			s.ServeHTTP(w, r)
			to, err := w.Result().Location()
			if err != nil || len(w.Result().Cookies()) != 1 {
				t.Fatalf("%d %v: %s", w.Code, w.Header(), w.Body)
			}
			return w.Result().Cookies()[0], to
		}
		set, to := ask("/api/login/oidc/", "")
		if set.Secure != secure || !set.HttpOnly || set.MaxAge <= 0 {
			t.Errorf("with TLS %t: %v", secure, set)
		}
		if secure && (!strings.HasPrefix(set.Name, "__Host-") || set.Path != "/" || set.Domain != "") {
			t.Errorf("another host can set %v", set)
		}
		back := oidc.CallbackPath + "?error=access_denied&state=" + url.QueryEscape(to.Query().Get("state"))
		ended, page := ask(back, set.Name+"="+set.Value)
		if got := page.Query().Get("failed"); got != "provider_refused" {
			t.Errorf("with TLS %t: who comes back is told %q", secure, got)
		}
		if ended.Name != set.Name || ended.Path != set.Path || ended.MaxAge >= 0 {
			t.Errorf("%v does not end %v", ended, set)
		}
		if _, page := ask(back, "telltale_oidc="+set.Value); secure && page.Query().Get("failed") != "log_in_unknown" {
			t.Errorf("a cookie that another host can set counts: %v", page)
		}
	}
}

func TestStrangersDoNotFillTheLog(t *testing.T) {
	s, lines := byProvider(t)
	for range 100 {
		s.ask(http.MethodGet, oidc.CallbackPath, "")
	}
	if n := strings.Count(lines.String(), "somebody could not log in"); n != 1 {
		t.Errorf("100 log-ins that fail are logged %d times", n)
	}
	if len(s.refused.all()) != 100 {
		t.Errorf("%d of 100 are counted", len(s.refused.all()))
	}
}

func TestFewWaitForTheProvider(t *testing.T) {
	s, _ := byProvider(t)
	takeAll(t, s.api.limits.providerLogins)
	if got := s.ask(http.MethodGet, "/api/login/oidc/", "").Header().Get("Location"); got != "/login?failed=busy" {
		t.Errorf("one too many is sent to %q", got)
	}
}
