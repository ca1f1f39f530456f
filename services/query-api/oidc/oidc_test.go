package oidc

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		all := map[string]any{"preferred_username": "ada", "email": "ada@example.com"}
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
		{"one without a name is called by the address", plain, map[string]any{"email": "ada@example.com"}, "ada@example.com", "ada@example.com", "", nil},
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
