// Package oidc logs people in by an OpenID Connect provider: the authorization code flow with PKCE (RFC 7636).
//
// The provider is asked for its addresses and keys when somebody logs in first, and its keys again when they change. While
// it is away nobody logs in by it, and it is asked every failureTime at most; sessions that there are go on. Nothing of its
// tokens is kept.
package oidc

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/settings"
	"github.com/telltale-iot/telltale/pkg/tlsfiles"
)

const (
	// requestTimeout bounds each request to the provider.
	requestTimeout = 10 * time.Second
	// failureTime is for how long it is not asked again for its addresses, after it has not answered.
	failureTime = 5 * time.Second
	// maxText bounds what is taken of a claim: a user name.
	maxText = iot.MaxUsername
)

// Config is the settings of a provider. The tags are for package settings.
type Config struct {
	Issuer       string `env:"OIDC_ISSUER" help:"URL of an OpenID Connect provider by which people may log in."`
	ClientID     string `env:"OIDC_CLIENT_ID" help:"What the provider knows Telltale as."`
	ClientSecret string `env:"OIDC_CLIENT_SECRET_FILE" help:"File of the secret that the provider has given to Telltale; without it Telltale is a public client."`
	RoleClaim    string `env:"OIDC_ROLE_CLAIM" help:"Claim of the ID token that has a role, or a list with one: viewer, operator, admin or member, also as telltale-viewer and so on. Who has none is not let in. Without this setting who logs in first is a viewer, until an admin says otherwise."`
	RedirectURL  string `env:"OIDC_REDIRECT_URL" help:"Where the provider sends people back to, as it knows it: https://…/api/login/oidc/callback/. Default: by the address that they asked."`
	CA           string `env:"OIDC_CA_FILE" help:"PEM file of the certificate authorities to trust for the provider instead of the system's."`
}

// Validate returns a *settings.Error where the settings cannot work.
func (c Config) Validate() error {
	switch {
	case c.Issuer == "" && c == Config{}:
		return nil
	case c.Issuer == "":
		return &settings.Error{Variable: "OIDC_ISSUER", Err: errors.New("is needed with the other settings of OpenID Connect")}
	case !strings.HasPrefix(c.Issuer, "https://") && !strings.HasPrefix(c.Issuer, "http://"):
		return &settings.Error{Variable: "OIDC_ISSUER", Value: c.Issuer, Err: errors.New("must be a URL")}
	case c.ClientID == "":
		return &settings.Error{Variable: "OIDC_CLIENT_ID", Err: errors.New("is needed with OIDC_ISSUER")}
	case c.RedirectURL != "" && !strings.HasSuffix(c.RedirectURL, CallbackPath):
		return &settings.Error{Variable: "OIDC_REDIRECT_URL", Value: c.RedirectURL, Err: errors.New("must end with " + CallbackPath)}
	}
	if _, err := c.secret(); err != nil {
		return &settings.Error{Variable: "OIDC_CLIENT_SECRET_FILE", Value: c.ClientSecret, Err: err}
	}
	if c.CA != "" {
		if _, err := tlsfiles.Authorities(c.CA); err != nil {
			return &settings.Error{Variable: "OIDC_CA_FILE", Value: c.CA, Err: err}
		}
	}
	return nil
}

// secret reads the client's secret; "" for a public client.
func (c Config) secret() (string, error) {
	if c.ClientSecret == "" {
		return "", nil
	}
	b, err := os.ReadFile(c.ClientSecret)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" {
		return "", errors.New("the file is empty")
	}
	return secret, nil
}

// CallbackPath is where the provider sends people back to.
const CallbackPath = "/api/login/oidc/callback/"

// Provider logs people in. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	client *http.Client

	asking   singleflight.Group // calls of discover, one at a time: the rest is theirs
	found    *oidc.Provider     // nil until it has answered
	failure  error              // of the last call
	askAgain time.Time          // failure is the answer before that
}

// New returns the provider of cfg, which is valid and names one. It asks nothing yet.
func New(cfg Config) *Provider {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if cfg.CA != "" {
		if trusted, err := (tlsfiles.Files{CA: cfg.CA}).Client(""); err == nil { // Validate has read it
			transport.TLSClientConfig = trusted
		}
	}
	return &Provider{cfg: cfg, client: &http.Client{Transport: transport, Timeout: requestTimeout}}
}

// Name is what people know the provider as: its host.
func (p *Provider) Name() string {
	_, rest, _ := strings.Cut(p.cfg.Issuer, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// Flow is what has to be remembered of somebody who is at the provider. It is of his browser alone.
type Flow struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Redirect string `json:"redirect"` // where he comes back to
	Return   string `json:"return"`   // where he was
}

// Begin returns where to send somebody who wants to log in, and what to remember. callback is where he comes back to.
func (p *Provider) Begin(ctx context.Context, callback, from string) (url string, flow Flow, err error) {
	provider, err := p.provider(ctx)
	if err != nil {
		return "", Flow{}, err
	}
	flow = Flow{
		State: oauth2.GenerateVerifier(), Nonce: oauth2.GenerateVerifier(), Verifier: oauth2.GenerateVerifier(),
		Redirect: cmp.Or(p.cfg.RedirectURL, callback), Return: from,
	}
	cfg, err := p.oauth(provider, flow)
	if err != nil {
		return "", Flow{}, err
	}
	return cfg.AuthCodeURL(flow.State, oidc.Nonce(flow.Nonce), oauth2.S256ChallengeOption(flow.Verifier)), flow, nil
}

// Person is whom the provider says that somebody is.
type Person struct {
	Identity iot.Secret // of him among all people of all providers; no secret here
	Username string
	Email    string   // "" where it does not say that it has verified one
	Role     iot.Role // "" where no claim says it
}

// ErrNotAllowed is of one whom the provider knows, and who has no role here.
var ErrNotAllowed = errors.New("the provider says no role of Telltale for this person")

// Finish returns who has come back with a code, also with ErrNotAllowed.
func (p *Provider) Finish(ctx context.Context, flow Flow, code string) (Person, error) {
	provider, err := p.provider(ctx)
	if err != nil {
		return Person{}, err
	}
	cfg, err := p.oauth(provider, flow)
	if err != nil {
		return Person{}, err
	}
	ctx = oidc.ClientContext(ctx, p.client)
	tokens, err := cfg.Exchange(ctx, code, oauth2.VerifierOption(flow.Verifier))
	if err != nil {
		return Person{}, fmt.Errorf("exchange the code: %w", err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return Person{}, errors.New("the provider sent no ID token")
	}
	token, err := provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return Person{}, fmt.Errorf("verify the ID token: %w", err)
	}
	if token.Nonce != flow.Nonce {
		return Person{}, errors.New("the ID token is of another log-in")
	}
	claims := map[string]any{}
	if err := token.Claims(&claims); err != nil {
		return Person{}, fmt.Errorf("read the ID token: %w", err)
	}
	if info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens)); err == nil && info.Subject == token.Subject {
		more := map[string]any{}
		_ = info.Claims(&more) // many providers say there what is not in the token
		for name, value := range more {
			if _, said := claims[name]; !said {
				claims[name] = value
			}
		}
	}
	return p.person(token.Issuer, token.Subject, claims)
}

// person is whom claims are of.
func (p *Provider) person(issuer, subject string, claims map[string]any) (Person, error) {
	text := func(name string) string {
		s, _ := claims[name].(string)
		if len(s) > maxText {
			return ""
		}
		return s
	}
	person := Person{
		Identity: sha256.Sum256([]byte(issuer + "\x00" + subject)),
	}
	if verified, _ := claims["email_verified"].(bool); verified { // else anybody may have written it there
		person.Email = text("email")
	}
	person.Username = cmp.Or(text("preferred_username"), person.Email, subject)
	if p.cfg.RoleClaim == "" {
		return person, nil
	}
	person.Role = roleOf(claims[p.cfg.RoleClaim])
	if person.Role == "" {
		return person, ErrNotAllowed
	}
	return person, nil
}

// roleOf returns the greatest of the roles that a claim has; "" where it has none.
func roleOf(claim any) iot.Role {
	names, _ := claim.([]any)
	if name, ok := claim.(string); ok {
		names = []any{name}
	}
	for _, role := range []iot.Role{iot.RoleAdmin, iot.RoleOperator, iot.RoleViewer, iot.RoleMember} {
		if slices.Contains(names, any(string(role))) || slices.Contains(names, any("telltale-"+string(role))) {
			return role
		}
	}
	return ""
}

// provider is the one that Issuer names, with its addresses. It waits for them while ctx lasts.
func (p *Provider) provider(ctx context.Context) (*oidc.Provider, error) {
	select {
	case asked := <-p.asking.DoChan("", func() (any, error) { return p.discover() }):
		found, _ := asked.Val.(*oidc.Provider)
		return found, asked.Err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// discover asks the provider for its addresses, where it has not told them yet. It ends when requestTimeout says so, not with a
// request: several wait for it, and what it finds out is for all.
func (p *Provider) discover() (*oidc.Provider, error) {
	if p.found != nil || time.Now().Before(p.askAgain) {
		return p.found, p.failure
	}
	p.found, p.failure = oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), p.cfg.Issuer)
	if p.failure != nil {
		p.failure = fmt.Errorf("ask the OpenID Connect provider: %w", p.failure)
		p.askAgain = time.Now().Add(failureTime)
	}
	return p.found, p.failure
}

func (p *Provider) oauth(provider *oidc.Provider, flow Flow) (*oauth2.Config, error) {
	secret, err := p.cfg.secret()
	if err != nil {
		return nil, fmt.Errorf("OIDC_CLIENT_SECRET_FILE: %w", err)
	}
	return &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: secret, Endpoint: provider.Endpoint(), RedirectURL: flow.Redirect,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}, nil
}
