package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
)

// form is the JSON object in the body of a request. Its methods (fields.go) read one field each, and
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
	if err := checkMediaType(r.Request().Header.Get(echo.HeaderContentType)); err != nil || len(r.body) == 0 {
		return f, err
	}
	var err error
	f.members, err = parseObject(r.body)
	return f, err
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
