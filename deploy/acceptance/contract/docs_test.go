package contract

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
)

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	a := call(t, http.MethodGet, "/api/openapi.json", "")
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
		t.Fatalf("%d %s", a.status, a.header.Get("Content-Type"))
	}
	document, err := libopenapi.NewDocument([]byte(a.body))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("it is a valid document of OpenAPI 3.1", func(t *testing.T) {
		if version := document.GetVersion(); !strings.HasPrefix(version, "3.1.") {
			t.Errorf("version %s", version)
		}
		v, errs := validator.NewValidator(document)
		if errs != nil {
			t.Fatal(errs)
		}
		if ok, errs := v.ValidateDocument(); !ok {
			for _, err := range errs {
				t.Error(err)
			}
		}
	})
	t.Run("it names every path and method", func(t *testing.T) {
		model, err := document.BuildV3Model()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string][]string{}
		parameter := regexp.MustCompile(`\{\w+\}`)
		for path, item := range model.Model.Paths.PathItems.FromOldest() {
			path = strings.Trim(parameter.ReplaceAllString(path, "{}"), "/")
			for method := range item.GetOperations().FromOldest() {
				got[path] = append(got[path], strings.ToUpper(method))
			}
		}
		for path, methods := range paths {
			path = strings.Trim(regexp.MustCompile(`\b[UD]\b`).ReplaceAllString(path, "{}"), "/")
			for _, method := range methods {
				if !slices.Contains(got[path], method) {
					t.Errorf("%s %s is missing", method, path)
				}
			}
		}
	})
}

func TestDocs(t *testing.T) {
	t.Parallel()
	a := call(t, http.MethodGet, "/api/docs/", "")
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", a.status, a.header.Get("Content-Type"))
	}
	base, err := url.Parse(sut.http + "/api/docs/")
	if err != nil {
		t.Fatal(err)
	}
	references := regexp.MustCompile(`(?:src|href)\s*=\s*["']([^"'#]+)["']|url\(["']?([^"')]+)`).FindAllStringSubmatch(a.body, -1)
	if len(references) == 0 {
		t.Error("the page loads nothing")
	}
	for _, reference := range references {
		u, err := base.Parse(reference[1] + reference[2])
		if err != nil {
			t.Fatal(err)
		}
		if u.Scheme != "data" && u.Host != base.Host {
			t.Errorf("%s is of another server", u)
			continue
		}
		if a := call(t, http.MethodGet, u.String(), ""); a.status != http.StatusOK || a.body == "" {
			t.Errorf("%s: %d", u, a.status)
		}
	}
}
