package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// TestDocs: the page and all that it loads come from here, so it works without the internet.
func TestDocs(t *testing.T) {
	handler := embedded(t).handler(t)
	w := get(handler, "/api/openapi.json")
	var spec struct{ OpenAPI string }
	if err := json.Unmarshal(w.Body.Bytes(), &spec); err != nil || spec.OpenAPI != "3.1.0" {
		t.Errorf("openapi.json: %v, version %q", err, spec.OpenAPI)
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`)
	inline := regexp.MustCompile(`<style|<script>| (?:style|on\w+)=`)
	for _, path := range []string{"/api/docs/", "/api/docs"} {
		page := get(handler, path)
		body := page.Body.String()
		if page.Code != http.StatusOK || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", path, page.Code, page.Header())
		}
		assets := links.FindAllStringSubmatch(body, -1)
		if len(assets) < 3 {
			t.Errorf("%s loads %v", path, assets)
		}
		for _, asset := range assets {
			w := get(handler, asset[1])
			if w.Code != http.StatusOK || w.Body.Len() == 0 || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s loads %s: %d, %d bytes", path, asset[1], w.Code, w.Body.Len())
			}
			body += w.Body.String()
		}
		if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self';") ||
			!strings.Contains(policy, "frame-ancestors 'none'") || inline.MatchString(page.Body.String()) {
			t.Errorf("%s: policy %q, and what it does not allow is %q", path, policy, inline.FindAllString(page.Body.String(), -1))
		}
		for _, part := range []string{`url: "/api/openapi.json"`, `<meta name="viewport"`, "tryItOutEnabled: true", "operationsSorter:"} {
			if !strings.Contains(body, part) {
				t.Errorf("%s does not have %s", path, part)
			}
		}
	}
	if w := get(handler, "/api/docs/nothing.js"); w.Code != http.StatusNotFound || w.Body.String() != `{"detail":"Not found."}` {
		t.Errorf("an asset that is missing: %d %s", w.Code, w.Body)
	}
}

// TestExamplesOfReplays: what the page sends unless somebody chooses otherwise replays a dead letter as it is.
func TestExamplesOfReplays(t *testing.T) {
	body := get(embedded(t).handler(t), "/api/openapi.json").Body.String()
	_, replay, _ := strings.Cut(body, `"/api/dead-letters/{id}/replay/":`)
	_, examples, ok := strings.Cut(replay, `"examples":{`)
	if _, first, _ := strings.Cut(examples, ":"); !ok || !strings.HasPrefix(first, `{"summary":"As it is","value":{}}`) {
		t.Errorf("the examples are %.200s", examples)
	}
}

// TestOpenAPIAsJSON: the description is served as it is written, its members in their order.
func TestOpenAPIAsJSON(t *testing.T) {
	body := get(embedded(t).handler(t), "/api/openapi.json").Body.Bytes()
	var served, written any
	if err := errors.Join(json.Unmarshal(body, &served), yaml.Unmarshal(openAPIYAML, &written)); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(written) // with numbers as JSON has them
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &written); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, served); diff != "" {
		t.Errorf("openapi.yaml (-) and openapi.json (+):\n%s", diff)
	}
	if want := `"required":["id","username","email","created_at"],"properties":{"id":{"$ref":"#/components/schemas/ID"},"username":`; !bytes.Contains(body, []byte(want)) {
		t.Errorf("the members of a user are not in the order of openapi.yaml")
	}
}
