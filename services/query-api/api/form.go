package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/telltale-iot/telltale/pkg/httpguard"
)

// form is the JSON object in the body of a request, or an HTML form, whose values are texts then. Its methods (fields.go) read one field each, and
// gather what is wrong with all of them, in the words of Django REST framework.
//
// Members that no method asks for are ignored: clients may send back what they were given.
type form struct {
	members map[string]json.RawMessage
	partial bool // PATCH: no field is required
	errs    fieldErrors
}

func (f *form) fail(field, message string) {
	if f.errs == nil {
		f.errs = fieldErrors{}
	}
	f.errs[field] = append(f.errs[field], message)
}

// readForm reads the body of a request. An empty body is an object without members.
func readForm(r *request) (*form, error) {
	f := &form{partial: r.Request().Method == http.MethodPatch}
	if r.Request().ContentLength == 0 {
		return f, nil
	}
	contentType := r.Request().Header.Get(echo.HeaderContentType)
	if isForm(contentType) {
		values, err := r.formValues()
		if err != nil {
			return f, err
		}
		f.members = make(map[string]json.RawMessage, len(values))
		for name, value := range values {
			f.members[name], _ = json.Marshal(value) // as a text, which every field reads
		}
		return f, nil
	}
	if err := checkMediaType(contentType); err != nil || len(r.body) == 0 {
		return f, err
	}
	var err error
	f.members, err = parseObject(r.body)
	return f, err
}

// isForm reports whether a body is a form, as HTML and some HTTP clients send it.
func isForm(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == echo.MIMEApplicationForm
}

var (
	errFormOfPage = &problem{status: http.StatusForbidden, detail: "Pages of another origin may not do this."}
	errFormIsJSON = &problem{status: http.StatusBadRequest, detail: "The body looks like JSON, and its Content-Type says that it is a form. Send it with Content-Type: application/json."}
)

// formValues reads a body that is a form. A browser's counts from a page of this origin alone: unlike JSON, any page can
// have a browser send one without asking first.
func (r *request) formValues() (map[string]string, error) {
	if httpguard.MayBePage(r.Request()) {
		return nil, errFormOfPage
	}
	if bytes.HasPrefix(bytes.TrimSpace(r.body), []byte("{")) || bytes.HasPrefix(bytes.TrimSpace(r.body), []byte("[")) {
		return nil, errFormIsJSON
	}
	parsed, err := url.ParseQuery(string(r.body))
	if err != nil {
		return nil, &problem{status: http.StatusBadRequest, detail: "The form in the request body cannot be read."}
	}
	values := make(map[string]string, len(parsed))
	for name, all := range parsed {
		if len(all) > 1 {
			return nil, &problem{status: http.StatusBadRequest, detail: fmt.Sprintf("Name %.100q stands twice in the form.", name)}
		}
		if !utf8.ValidString(name) || !utf8.ValidString(all[0]) {
			return nil, &problem{status: http.StatusBadRequest, detail: "The form in the request body is not UTF-8."}
		}
		values[name] = all[0]
	}
	return values, nil
}

// checkMediaType accepts JSON in UTF-8 and nothing else.
func checkMediaType(contentType string) error {
	mediaType, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	if err == nil && mediaType == "application/json" && (!given || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	return &problem{status: http.StatusUnsupportedMediaType, detail: fmt.Sprintf("Unsupported media type \"%.100s\" in request.", contentType)}
}

// parseObject returns the members of the JSON object that body consists of. A name that stands twice is
// an error, since readers disagree on which one counts.
func parseObject(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, parseError("not UTF-8")
	}
	var value json.RawMessage
	if err := json.Unmarshal(body, &value); err != nil {
		return nil, parseError(err.Error())
	}
	value = bytes.TrimLeft(value, " \t\r\n")
	if value[0] != '{' {
		return nil, fieldErrors{errNoField: {"Invalid data. Expected a dictionary, but got " + pythonType(value) + "."}}
	}
	members := map[string]json.RawMessage{}
	dec := json.NewDecoder(bytes.NewReader(value))
	_, _ = dec.Token() // the brace; the syntax is known to be right
	for dec.More() {
		name, _ := dec.Token()
		key := name.(string)
		if _, twice := members[key]; twice {
			return nil, parseError(fmt.Sprintf("name %.100q stands twice", key))
		}
		var member json.RawMessage
		if err := dec.Decode(&member); err != nil {
			return nil, parseError(err.Error())
		}
		members[key] = member
	}
	return members, nil
}

func parseError(why string) error {
	return &problem{status: http.StatusBadRequest, detail: "JSON parse error - " + why}
}

// pythonType names the type of a JSON value as the messages of Django REST framework do.
func pythonType(value json.RawMessage) string {
	switch value[0] {
	case '{':
		return "dict"
	case '[':
		return "list"
	case '"':
		return "str"
	case 't', 'f':
		return "bool"
	case 'n':
		return "NoneType"
	default:
		if bytes.ContainsAny(value, ".eE") {
			return "float"
		}
		return "int"
	}
}
