package oidc

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/settings"
)

func TestValidate(t *testing.T) {
	secret, empty := filepath.Join(t.TempDir(), "secret"), filepath.Join(t.TempDir(), "empty")
	for file, text := range map[string]string{secret: "s\n", empty: "\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := Config{Issuer: "https://id.example.com", ClientID: "telltale", ClientSecret: secret, RedirectURL: "https://t.example.com" + CallbackPath}
	for _, c := range []Config{{}, good} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for variable, spoil := range map[string]func(*Config){
		"OIDC_ISSUER":             func(c *Config) { c.Issuer = "" },
		"OIDC_CLIENT_ID":          func(c *Config) { c.ClientID = "" },
		"OIDC_CLIENT_SECRET_FILE": func(c *Config) { c.ClientSecret = empty },
		"OIDC_REDIRECT_URL":       func(c *Config) { c.RedirectURL = "https://t.example.com/" },
		"OIDC_CA_FILE":            func(c *Config) { c.CA = secret },
	} {
		bad := good
		spoil(&bad)
		var wrong *settings.Error
		if err := bad.Validate(); !errors.As(err, &wrong) || wrong.Variable != variable {
			t.Errorf("%s: %v", variable, err)
		}
	}
}

func TestPerson(t *testing.T) {
	plain, withRoles := New(Config{Issuer: "https://id.example.com/realm"}), New(Config{Issuer: "https://id.example.com/realm", RoleClaim: "groups"})
	if plain.Name() != "id.example.com" {
		t.Errorf("the provider is called %q", plain.Name())
	}
	claims := func(more map[string]any) map[string]any {
		all := map[string]any{"preferred_username": "ada", "email": "ada@example.com", "email_verified": true}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	tests := []struct {
		name     string
		provider *Provider
		claims   map[string]any
		username string
		email    string
		role     iot.Role
		err      error
	}{
		{"a name, an address and no role", plain, claims(nil), "ada", "ada@example.com", "", nil},
		{"an address that the provider is not sure of", plain, claims(map[string]any{"email_verified": false}), "ada", "", "", nil},
		{"an address of which it does not say whether it is", plain, map[string]any{"preferred_username": "ada", "email": "ada@example.com"}, "ada", "", "", nil},
		{"one without a name is called by the address", plain, claims(map[string]any{"preferred_username": nil}), "ada@example.com", "ada@example.com", "", nil},
		{"but by one that anybody may have written there he is not", plain, map[string]any{"email": "ada@example.com"}, "subject", "", "", nil},
		{"nor by one that it is not sure of", plain, map[string]any{"email": "ada@example.com", "email_verified": false}, "subject", "", "", nil},
		{"one without either by the subject", plain, map[string]any{}, "subject", "", "", nil},
		{"a name that is too long is none", plain, claims(map[string]any{"preferred_username": strings.Repeat("x", 151)}), "ada@example.com", "ada@example.com", "", nil},
		{"roles count only where a setting says so", plain, claims(map[string]any{"groups": "admin"}), "ada", "ada@example.com", "", nil},
		{"the role of a text", withRoles, claims(map[string]any{"groups": "operator"}), "ada", "ada@example.com", iot.RoleOperator, nil},
		{"the greatest of a list", withRoles, claims(map[string]any{"groups": []any{"staff", "telltale-viewer", "telltale-admin", 7}}), "ada", "ada@example.com", iot.RoleAdmin, nil},
		{"none", withRoles, claims(map[string]any{"groups": []any{"staff", "administrator"}}), "ada", "ada@example.com", "", ErrNotAllowed},
		{"no claim", withRoles, claims(nil), "ada", "ada@example.com", "", ErrNotAllowed},
	}
	for _, tt := range tests {
		got, err := tt.provider.person("https://id.example.com/realm", "subject", tt.claims)
		if !errors.Is(err, tt.err) || got.Username != tt.username || got.Email != tt.email || got.Role != tt.role {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
	one, _ := plain.person("a", "b", nil)
	for _, other := range [][2]string{{"a", "c"}, {"b", "b"}, {"ab", ""}} {
		if got, _ := plain.person(other[0], other[1], nil); got.Identity == one.Identity {
			t.Errorf("%v is the same person", other)
		}
	}
}

// TestProviderIsAway has a provider that hangs, then one that fails, then one that answers.
func TestProviderIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked int
		hang, answer := make(chan struct{}), false
		p := New(Config{Issuer: "https://id.example.com", ClientID: "telltale"})
		p.client.Transport = transport(func(r *http.Request) (*http.Response, error) {
			asked++
			<-hang
			if !answer {
				return nil, errors.New("connection refused")
			}
			body := `{"issuer": "https://id.example.com", "authorization_endpoint": "https://id.example.com/auth"}`
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		})
		begin := func(ctx context.Context) error {
			_, _, err := p.Begin(ctx, "https://t.example.com"+CallbackPath, "/")
			return err
		}

		first := make(chan error)
		go func() { first <- begin(t.Context()) }()
		synctest.Wait()
		gone, leave := context.WithCancel(t.Context())
		second := make(chan error)
		go func() { second <- begin(gone) }()
		synctest.Wait()
		leave()
		if err := <-second; !errors.Is(err, context.Canceled) {
			t.Errorf("who goes away while the provider hangs gets %v", err)
		}
		close(hang)
		if err := <-first; err == nil {
			t.Error("who waits is let go on without the provider")
		}
		if err := begin(t.Context()); err == nil || asked != 1 {
			t.Errorf("%v, and the provider was asked %d times within %v", err, asked, failureTime)
		}
		answer = true
		time.Sleep(failureTime)
		for range 2 {
			if err := begin(t.Context()); err != nil || asked != 2 {
				t.Errorf("%v, and the provider was asked %d times", err, asked)
			}
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }
