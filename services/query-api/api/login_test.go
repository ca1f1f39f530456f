package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

func TestLogIn(t *testing.T) {
	s := secure(t, auth.On)
	s.user(t, "ada", iot.RoleOperator)
	body := `{"username": "ada", "password": "` + testPassword + `"}`
	logIn := func(body string, headers ...string) *httptest.ResponseRecorder {
		return s.ask("POST", "/api/login/", body, headers...)
	}
	w := logIn(body)
	if w.Code != http.StatusOK || len(w.Result().Cookies()) != 1 {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	cookie := w.Result().Cookies()[0]
	if cookie.Name != "telltale" || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Secure {
		t.Errorf("the cookie is %+v", cookie)
	}
	session := "telltale=" + cookie.Value
	t.Run("a session is its user's", func(t *testing.T) {
		want := `{"id":1,"username":"ada","email":"ada@example.com","role":"operator","auth":"session","token":null,"devices":null,"may":["site","change","access"],"roles":["viewer","operator","member"],"has_password":true}`
		if w := s.ask("GET", "/api/me/", "", "Cookie", session); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("with TLS no other host can set its cookie", func(t *testing.T) {
		w := logIn(body, "X-Forwarded-Proto", "https")
		if c := w.Result().Cookies(); len(c) != 1 || c[0].Name != "__Host-telltale" || !c[0].Secure || c[0].Path != "/" || c[0].Domain != "" {
			t.Fatalf("%v", w.Header())
		}
		if w := s.ask("GET", "/api/me/", "", "Cookie", session, "X-Forwarded-Proto", "https"); w.Code != http.StatusUnauthorized {
			t.Errorf("the other one counts, too: %d %s", w.Code, w.Body)
		}
	})
	t.Run("it is no token, and a token no session", func(t *testing.T) {
		token, _ := s.token(t, iot.Token{User: 1, Role: iot.RoleViewer})
		for _, headers := range [][]string{{"Authorization", "Bearer " + cookie.Value}, {"Cookie", "telltale=" + token}} {
			if w := s.ask("GET", "/api/me/", "", headers...); w.Code != http.StatusUnauthorized {
				t.Errorf("%v: %d %s", headers, w.Code, w.Body)
			}
		}
	})
	t.Run("it does not count for pages of another origin, be they in CORS_ORIGINS", func(t *testing.T) {
		for _, site := range []string{"same-site", "cross-site"} {
			headers := []string{"Origin", "https://app.example.com", "Sec-Fetch-Site", site}
			w := s.ask("POST", "/api/devices/", `{"name": "x", "user": 1}`, append(headers, "Cookie", session)...)
			if w.Code != http.StatusUnauthorized || w.Header().Get("Access-Control-Allow-Origin") != "https://app.example.com" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %d %s %v", site, w.Code, w.Body, w.Header())
			}
			if w := logIn(body, headers...); w.Code != http.StatusForbidden || len(w.Result().Cookies()) > 0 {
				t.Errorf("a log-in, %s: %d %s", site, w.Code, w.Body)
			}
		}
		if w := s.ask("OPTIONS", "/api/devices/", "", "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST"); w.Code != http.StatusNoContent {
			t.Errorf("what browsers ask beforehand: %d", w.Code)
		}
	})
	t.Run("another password ends other sessions", func(t *testing.T) {
		other := "telltale=" + logIn(body).Result().Cookies()[0].Value
		change := `{"old_password": "` + testPassword + `", "new_password": "another ` + testPassword + `"}`
		if w := s.ask("PUT", "/api/me/password/", strings.Replace(change, "correct", "wrong", 1), "Cookie", session); w.Code != http.StatusBadRequest {
			t.Errorf("with a wrong one: %d %s", w.Code, w.Body)
		}
		w := s.ask("PUT", "/api/me/password/", change, "Cookie", session)
		if w.Code != http.StatusNoContent || len(w.Result().Cookies()) != 1 {
			t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
		}
		session = "telltale=" + w.Result().Cookies()[0].Value
		kafkatest.Eventually(t, kafkatest.Timeout, "the end of the other session", func() bool {
			return s.ask("GET", "/api/me/", "", "Cookie", other).Code == http.StatusUnauthorized
		})
		if w := s.ask("GET", "/api/me/", "", "Cookie", session); w.Code != http.StatusOK {
			t.Errorf("its own: %d %s", w.Code, w.Body)
		}
	})
	t.Run("who logs out is out", func(t *testing.T) {
		if w := s.ask("POST", "/api/logout/", "", "Cookie", session); w.Code != http.StatusNoContent || w.Result().Cookies()[0].MaxAge >= 0 {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
		if w := s.ask("GET", "/api/me/", "", "Cookie", session); w.Code != http.StatusUnauthorized {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// TestGuesses: who guesses a password is kept out for a minute, and nobody else is.
func TestGuesses(t *testing.T) {
	s := secure(t, auth.On)
	s.user(t, "ada", iot.RoleViewer)
	const wrong = `{"username": "ada", "password": "S3cr3t-guess"}`
	for i := range 10 {
		if w := s.ask("POST", "/api/login/", wrong); w.Code != http.StatusUnauthorized || w.Body.String() != `{"detail":"Incorrect authentication credentials."}` {
			t.Fatalf("number %d: %d %s", i, w.Code, w.Body)
		}
	}
	right := `{"username": "ada", "password": "` + testPassword + `"}`
	w := s.ask("POST", "/api/login/", right)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.HasPrefix(w.Body.String(), `{"detail":"Request was throttled. Expected available in `) {
		t.Errorf("after ten: %d %s %v", w.Code, w.Body, w.Header())
	}
	r := httptest.NewRequest("POST", "/api/login/", strings.NewReader(right))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = "198.51.100.7:1234"
	other := httptest.NewRecorder()
	s.ServeHTTP(other, r)
	if other.Code != http.StatusOK {
		t.Errorf("from elsewhere: %d %s", other.Code, other.Body)
	}
	entries, err := s.store.metadata.Audit(t.Context(), iot.AuditQuery{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	failed, begun := 0, 0
	for _, e := range entries {
		text, _ := json.Marshal(e)
		if strings.Contains(string(text), "S3cr3t") || strings.Contains(string(text), testPassword) {
			t.Errorf("a password is in the audit: %s", text)
		}
		switch {
		case e.Action == "login.failed" && e.Actor.Name == "ada" && e.Actor.Address == "192.0.2.1":
			failed++
		case e.Action == "session.create" && e.Actor.Name == "ada" && e.Actor.Address == "198.51.100.7":
			begun++
		}
	}
	if failed != 10 || begun != 1 {
		t.Errorf("in the audit are %d that failed, and %d that did not", failed, begun)
	}
}
