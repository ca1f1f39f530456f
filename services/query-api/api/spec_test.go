package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
)

// spec is openapi.yaml, and what it says about requests and answers.
type spec struct {
	operations []string // "GET /api/users/", sorted
	validator.Validator
}

// answers are the schemas that have all members of an answer. Clients have to take more, so openapi.yaml does not
// say it, but the tests do not.
var answers = regexp.MustCompile(`(?m)^    (User|Login|Me|Token|CreatedToken|Device|Reading|AcceptedReadings|RefusedReadings|RejectedReading|Import|OnlineReading|SearchResult|Series|Removals|RemovedReadings|RemovedRollups|Aggregations|Aggregate|DeviceAggregate|RangeCount|Stats|DeviceCount|DeadLetter|DeadLetterStats|ReasonCount|TopicCount|DeletedDeadLetters|Replay|Replays|Explanation|Ignored|Refusal|AuditEntry|System|SystemService|SystemStage|SystemTopic|SystemStore|Conservation|RejectedPart|OmittedMember|PromResult|PromSeries|PromNames|PromMetadata|PromBuildInfo|PromError|ErrorDetail|DeviceTrace|TracedConnection|TracedMessage):.*\n`)

// tolerated are requests of the cases that the spec does not offer, and that are taken for the sake of older clients.
var tolerated = []string{
	"a number", // as a name
	"with a location and an owner in quotes",
	"the greatest id there is, in quotes",
}

var loadSpecOnce = sync.OnceValues(func() (*spec, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	document, err := libopenapi.NewDocument(answers.ReplaceAll(text, []byte("$0      additionalProperties: false\n")))
	if err != nil {
		return nil, err
	}
	model, err := document.BuildV3Model()
	if err != nil {
		return nil, err
	}
	s := &spec{Validator: validator.NewValidatorFromV3Model(&model.Model, config.WithoutSecurityValidation())}
	s.SetDocument(document)
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			s.operations = append(s.operations, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(s.operations)
	return s, nil
})

func loadSpec(t *testing.T) *spec {
	t.Helper()
	s, err := loadSpecOnce()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check checks an answer by the spec, and its request too where that was accepted.
func (s *spec) check(t *testing.T, name string, r *http.Request, answer *http.Response) {
	t.Helper()
	if topic, ok := strings.CutPrefix(r.URL.Path, webhookPrefix); ok { // of several levels, which the spec has no words for
		r.URL.Path = webhookPrefix + strings.ReplaceAll(strings.TrimSuffix(topic, "/"), "/", "-") + "/"
	}
	if !strings.HasSuffix(r.URL.Path, "/") && !strings.HasSuffix(r.URL.Path, ".json") {
		r.URL.Path += "/" // the spec has each path once
		if r.URL.RawPath != "" {
			r.URL.RawPath += "/"
		}
	}
	query := r.URL.Query()
	maps.DeleteFunc(query, func(_ string, values []string) bool { return slices.Equal(values, []string{""}) })
	r.URL.RawQuery = query.Encode() // an empty parameter counts as not given
	if r.Method == http.MethodHead || r.Method == http.MethodOptions || answer.StatusCode == http.StatusMethodNotAllowed ||
		answer.StatusCode == http.StatusFound {
		return
	}
	isLines := r.Header.Get("Content-Type") == "application/x-ndjson" // which the validator takes for one value
	if answer.StatusCode < 300 && !slices.Contains(tolerated, name) && !isLines {
		if ok, errs := s.ValidateHttpRequestSync(r); !ok {
			t.Errorf("%s: the spec refuses the request: %v", name, errs)
		}
	}
	switch answer.Header.Get("Content-Type") {
	case "application/x-ndjson", "text/csv": // lists as files, which it describes in words
		return
	}
	ok, errs := s.ValidateHttpResponse(r, answer)
	if answer.StatusCode == http.StatusNotFound && len(errs) == 1 && errs[0].IsPathMissingError() {
		return // the answer agrees
	}
	if !ok {
		t.Errorf("%s: the spec does not have this answer: %v", name, errs)
	}
}

// TestSpec: the description is OpenAPI 3.1 by its own schema, and lists what is served and nothing else.
func TestSpec(t *testing.T) {
	s := loadSpec(t)
	if ok, errs := s.ValidateDocument(); !ok {
		t.Errorf("openapi.yaml is not valid: %v", errs)
	}
	var served []string
	for _, r := range new(API).routes() {
		switch path := strings.NewReplacer(":id", "{id}", ":cid", "{cid}", ":kid", "{kid}", ":label", "{label}", "*", "{topic}/").Replace(r.path); {
		case path == "/api/", path == "/api/docs/:asset/", !strings.HasPrefix(path, "/api/"): // for browsers
		default:
			served = append(served, r.method+" "+path)
		}
	}
	slices.Sort(served)
	if diff := cmp.Diff(s.operations, served); diff != "" {
		t.Errorf("openapi.yaml (-) and routes.go (+) differ:\n%s", diff)
	}
}

// TestReasons: a filter by reason offers all that there are.
func TestReasons(t *testing.T) {
	constants, err := os.ReadFile("../../../pkg/iot/rejection.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, constant := range regexp.MustCompile(`Reason = "(\w+)"`).FindAllSubmatch(constants, -1) {
		want = append(want, string(constant[1]))
	}
	var spec struct {
		Components struct {
			Schemas struct{ Reason struct{ Enum []string } }
		}
	}
	if err := json.Unmarshal(get(embedded(t).handler(t), "/api/openapi.json").Body.Bytes(), &spec); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, spec.Components.Schemas.Reason.Enum); diff != "" {
		t.Errorf("reasons of package iot (-) and of openapi.yaml (+):\n%s", diff)
	}
}
