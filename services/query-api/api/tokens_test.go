package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/auth"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
	"github.com/telltale-iot/telltale/services/query-api/access"
)

func TestTokens(t *testing.T) {
	s := secure(t, auth.On)
	ada := s.user(t, "ada", iot.RoleAdmin)
	bob := s.user(t, "bob", iot.RoleViewer)
	adas, _ := s.token(t, iot.Token{User: ada, Role: iot.RoleAdmin})
	bobs, id := s.token(t, iot.Token{User: bob, Role: iot.RoleViewer})
	status := func(secret string) int {
		return s.ask("GET", "/api/users/", "", "Authorization", "Bearer "+secret).Code
	}
	if got := status(bobs); got != http.StatusOK {
		t.Fatalf("a token: %d", got)
	}
	becomes := func(t *testing.T, secret string, want int) {
		t.Helper()
		kafkatest.Eventually(t, kafkatest.Timeout, fmt.Sprintf("status %d", want), func() bool { return status(secret) == want })
	}
	if access.MaxStale >= time.Second { // how long it takes here is the machine's affair, too
		t.Errorf("a token that is gone may count for %v", access.MaxStale)
	}
	t.Run("one that has expired does not count", func(t *testing.T) {
		old, _ := s.token(t, iot.Token{User: bob, Role: iot.RoleViewer, ExpiresAt: time.Now().Add(-time.Second)})
		w := s.ask("GET", "/api/users/", "", "Authorization", "Bearer "+old)
		if w.Code != http.StatusUnauthorized || w.Body.String() != `{"detail":"Invalid token."}` {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("one in a URL never counts", func(t *testing.T) {
		for _, path := range []string{"/api/users/?token=", "/api/users/?access_token=", "/api/webhooks/a/?token="} {
			for _, headers := range [][]string{nil, {"Authorization", "Bearer " + adas}} {
				if w := s.ask("GET", path+adas, "", headers...); w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String()+fmt.Sprint(w.Header()), adas) {
					t.Errorf("%s: %d %s %v", path, w.Code, w.Body, w.Header())
				}
			}
		}
	})
	t.Run("nobody makes one that may do more than he", func(t *testing.T) {
		for _, body := range []string{
			`{"name": "x", "role": "operator"}`, `{"name": "x", "user": 1}`, `{"name": "x", "expires_at": null}`, `{"name": "x", "expires_at": "2999-01-01"}`,
		} {
			if w := s.ask("POST", "/api/tokens/", body, "Authorization", "Bearer "+bobs); w.Code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", body, w.Code, w.Body)
			}
		}
		limited, _ := s.token(t, iot.Token{User: ada, Role: iot.RoleAdmin, Devices: []iot.DeviceID{7}})
		if w := s.ask("POST", "/api/tokens/", `{"name": "x"}`, "Authorization", "Bearer "+limited); w.Code != http.StatusForbidden {
			t.Errorf("by a limited one: %d %s", w.Code, w.Body)
		}
		short, _ := s.token(t, iot.Token{User: bob, Role: iot.RoleViewer, ExpiresAt: time.Now().Add(time.Hour)})
		w := s.ask("POST", "/api/tokens/", `{"name": "x"}`, "Authorization", "Bearer "+short)
		var made struct {
			Expires time.Time `json:"expires_at"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || w.Code != http.StatusCreated || time.Until(made.Expires) > time.Hour {
			t.Errorf("by one that ends in an hour: %d %s", w.Code, w.Body)
		}
	})
	t.Run("others' are not there", func(t *testing.T) {
		_, adasID := s.token(t, iot.Token{User: ada, Role: iot.RoleViewer})
		path := fmt.Sprintf("/api/tokens/%d/", adasID)
		for _, method := range []string{"GET", "DELETE"} {
			if w := s.ask(method, path, "", "Authorization", "Bearer "+bobs); w.Code != http.StatusNotFound {
				t.Errorf("%s: %d %s", method, w.Code, w.Body)
			}
		}
		if w := s.ask("GET", path, "", "Authorization", "Bearer "+adas); w.Code != http.StatusOK {
			t.Errorf("to an admin: %d %s", w.Code, w.Body)
		}
	})
	t.Run("of a user who is disabled none counts, within a second", func(t *testing.T) {
		path := fmt.Sprintf("/api/users/%d/", bob)
		if w := s.ask("PATCH", path, `{"disabled": true}`, "Authorization", "Bearer "+adas); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		becomes(t, bobs, http.StatusUnauthorized)
		if w := s.ask("PATCH", path, `{"disabled": false}`, "Authorization", "Bearer "+adas); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
	t.Run("one that is deleted elsewhere is gone within a second", func(t *testing.T) {
		becomes(t, bobs, http.StatusOK)
		if err := s.store.metadata.DeleteToken(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		becomes(t, bobs, http.StatusUnauthorized)
	})
	t.Run("its use is noted", func(t *testing.T) {
		deadline := time.Now().Add(10 * time.Second)
		for {
			found, _, _, err := s.store.metadata.TokenOf(t.Context(), auth.Hash(adas))
			if err != nil {
				t.Fatal(err)
			}
			if !found.LastUsed.IsZero() {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("it is not")
			}
			time.Sleep(time.Millisecond)
		}
	})
}
