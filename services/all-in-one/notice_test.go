package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestAuthIsShown: that nobody is asked for credentials is an explicit word, which /readyz?verbose shows for each listener.
func TestAuthIsShown(t *testing.T) {
	t.Parallel()
	s := freeAddrs(t)
	s["AUTH"] = "off"
	p := start(t, t.TempDir(), s)
	if err := p.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	response, err := http.Get("http://" + p.OpsAddr() + "/readyz?verbose")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"   auth (query-api): ", "   mqtt: "} {
		_, after, _ := strings.Cut(string(body), name)
		if line, _, _ := strings.Cut(after, "\n"); !strings.Contains(line, "AUTH=off") {
			t.Errorf("%sdoes not say so in\n%s", name, body)
		}
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}
