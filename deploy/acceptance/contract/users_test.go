package contract

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

type user struct {
	ID          int64  `json:"id"`
	Username    string `json:"username"`
	Email       string `json:"email"`
	CreatedAt   string `json:"created_at"`
	Role        string `json:"role"`
	Disabled    bool   `json:"disabled"`
	HasPassword bool   `json:"has_password"`
}

func userPath(id int64) string { return fmt.Sprintf("/api/users/%d/", id) }

// newName returns a user name that nobody has.
func newName() string { return fmt.Sprintf("u%d-%s", deviceCount.Add(1), runName) }

// newUser creates a user, who goes with the test.
func newUser(t *testing.T) user {
	t.Helper()
	u, _ := createUser(t, object(map[string]any{"username": newName(), "email": "u@example.com"}))
	return u
}

func createUser(t *testing.T, body string) (user, answer) {
	t.Helper()
	a := call(t, http.MethodPost, "/api/users/", body)
	u := decode[user](t, a, http.StatusCreated)
	t.Cleanup(func() {
		request, err := http.NewRequest(http.MethodDelete, sut.http+userPath(u.ID), nil)
		if err != nil {
			t.Error(err)
			return
		}
		if response, err := client.Do(request); err == nil {
			_ = response.Body.Close()
		}
	})
	return u, a
}

func TestUsers(t *testing.T) {
	t.Run("POST creates a user", func(t *testing.T) {
		t.Parallel()
		name := newName()
		got, _ := createUser(t, object(map[string]any{"username": name, "email": "ada@example.com"}))
		if got.ID < 1 || got.Username != name || got.Email != "ada@example.com" {
			t.Errorf("%+v", got)
		}
		if age := time.Since(instant(t, got.CreatedAt)); age < -time.Minute || age > 2*time.Minute {
			t.Errorf("created_at %s", got.CreatedAt)
		}
		if again := get[user](t, userPath(got.ID)); again != got {
			t.Errorf("GET shows %+v, POST %+v", again, got)
		}
		if all := readAll[user](t, "/api/users/?limit=10000"); !slices.Contains(all, got) {
			t.Errorf("the list lacks %+v", got)
		}
	})
	t.Run("PUT replaces", func(t *testing.T) {
		t.Parallel()
		want := newUser(t)
		want.Username, want.Email = newName(), "new@example.com"
		got := decode[user](t, call(t, http.MethodPut, userPath(want.ID), object(map[string]any{"username": want.Username, "email": want.Email})), http.StatusOK)
		if again := get[user](t, userPath(want.ID)); got != want || again != want {
			t.Errorf("PUT %+v, GET %+v, want %+v", got, again, want)
		}
		wantFields(t, call(t, http.MethodPut, userPath(want.ID), `{}`), "username", "email")
		wantFields(t, call(t, http.MethodPut, userPath(want.ID), object(map[string]any{"username": want.Username})), "email")
	})
	t.Run("PATCH changes what it names", func(t *testing.T) {
		t.Parallel()
		want := newUser(t)
		want.Email = "new@example.com"
		got := decode[user](t, call(t, http.MethodPatch, userPath(want.ID), `{"email": "new@example.com"}`), http.StatusOK)
		if again := get[user](t, userPath(want.ID)); got != want || again != want {
			t.Errorf("PATCH %+v, GET %+v, want %+v", got, again, want)
		}
		if got := decode[user](t, call(t, http.MethodPatch, userPath(want.ID), `{}`), http.StatusOK); got != want {
			t.Errorf("an empty PATCH: %+v", got)
		}
		if got := decode[user](t, call(t, http.MethodPatch, userPath(want.ID), object(map[string]any{"username": want.Username})), http.StatusOK); got != want {
			t.Errorf("a PATCH to the name it has: %+v", got)
		}
	})
	t.Run("DELETE removes the user and its devices", func(t *testing.T) {
		t.Parallel()
		owner := newUser(t)
		d := newOwnedDevice(t, owner.ID)
		if got := call(t, http.MethodDelete, userPath(owner.ID), ""); got.status != http.StatusNoContent || got.body != "" {
			t.Errorf("%d %q, want 204 and no body", got.status, got.body)
		}
		wantDetail(t, call(t, http.MethodGet, userPath(owner.ID), ""), http.StatusNotFound)
		wantDetail(t, call(t, http.MethodGet, devicePath(d.ID), ""), http.StatusNotFound)
		wantDetail(t, call(t, http.MethodDelete, userPath(owner.ID), ""), http.StatusNotFound)
	})
	t.Run("many users may have one email", func(t *testing.T) {
		t.Parallel()
		newUser(t)
		newUser(t)
	})
	t.Run("a username has up to 150 characters, not bytes", func(t *testing.T) {
		t.Parallel()
		name := newName()
		name += strings.Repeat("é", 150-len(name))
		if got, _ := createUser(t, object(map[string]any{"username": name, "email": "u@example.com"})); got.Username != name {
			t.Errorf("username %q, want %q", got.Username, name)
		}
	})
}

func TestUserFields(t *testing.T) {
	taken := newUser(t)
	other := newUser(t)
	long := strings.Repeat("x", 151)
	for _, test := range []struct {
		name string
		body string
		want []string
	}{
		{"all wrong fields at once: missing", `{}`, []string{"username", "email"}},
		{"all wrong fields at once: null", `{"username": null, "email": null}`, []string{"username", "email"}},
		{"all wrong fields at once: empty", `{"username": "", "email": ""}`, []string{"username", "email"}},
		{"all wrong fields at once: wrong types", `{"username": [1], "email": {"a": 1}}`, []string{"username", "email"}},
		{"all wrong fields at once: a long username and no email", object(map[string]any{"username": long, "email": "nobody"}), []string{"username", "email"}},
		{"all wrong fields at once: a username that is taken", object(map[string]any{"username": taken.Username, "email": "nobody"}), []string{"username", "email"}},
		{"no username", `{"email": "u@example.com"}`, []string{"username"}},
		{"a username of white space", `{"username": "  ", "email": "u@example.com"}`, []string{"username"}},
		{"a username of 151 characters", object(map[string]any{"username": long, "email": "u@example.com"}), []string{"username"}},
		{"a username that is taken", object(map[string]any{"username": taken.Username, "email": "u@example.com"}), []string{"username"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			wantFields(t, call(t, http.MethodPost, "/api/users/", test.body), test.want...)
			if !strings.Contains(test.name, "missing") && !strings.HasPrefix(test.name, "no ") {
				wantFields(t, call(t, http.MethodPatch, userPath(other.ID), test.body), test.want...)
			}
			wantFields(t, call(t, http.MethodPut, userPath(other.ID), test.body), test.want...)
		})
	}
	for _, email := range []string{"nobody", "@example.com", "a@", "a@b@example.com", "a b@example.com", "a@exam ple.com", "a@-example.com", "a@example..com", "a@example"} {
		t.Run("an email that is not valid: "+email, func(t *testing.T) {
			t.Parallel()
			wantFields(t, call(t, http.MethodPost, "/api/users/", object(map[string]any{"username": newName(), "email": email})), "email")
		})
	}
	for _, email := range []string{"a@example.com", "first.last+tag@mail.example.co.uk", "A_B@example.museum"} {
		t.Run("an email that is valid: "+email, func(t *testing.T) {
			t.Parallel()
			if got, _ := createUser(t, object(map[string]any{"username": newName(), "email": email})); !strings.EqualFold(got.Email, email) {
				t.Errorf("%s became %s", email, got.Email)
			}
		})
	}
}
