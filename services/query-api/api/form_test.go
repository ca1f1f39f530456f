package api

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestParseObject(t *testing.T) {
	got, err := parseObject([]byte(` {"a": 1, "b": {"a": [2, {}]}, "\u0063": "x", "": null} `))
	want := map[string]json.RawMessage{
		"a": json.RawMessage(`1`), "b": json.RawMessage(`{"a": [2, {}]}`), "c": json.RawMessage(`"x"`), "": json.RawMessage(`null`),
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for body, want := range map[string]string{
		`{`:                     `JSON parse error - unexpected end of JSON input`,
		`{"a": 1} x`:            `JSON parse error - invalid character 'x' after top-level value`,
		`{"a": 1}{}`:            `JSON parse error - invalid character '{' after top-level value`,
		`{'a': 1}`:              `JSON parse error - invalid character '\'' looking for beginning of object key string`,
		`{"a": NaN}`:            `JSON parse error - invalid character 'N' looking for beginning of value`,
		"{\"a\": \"\xff\"}":     `JSON parse error - not UTF-8`,
		`{"a": 1, "\u0061": 2}`: `JSON parse error - name "a" stands twice`,
		" \n":                   `JSON parse error - unexpected end of JSON input`,
		`[{}]`:                  `map[non_field_errors:[Invalid data. Expected a dictionary, but got list.]]`,
		` "x"`:                  `map[non_field_errors:[Invalid data. Expected a dictionary, but got str.]]`,
		`1`:                     `map[non_field_errors:[Invalid data. Expected a dictionary, but got int.]]`,
		`-1.5`:                  `map[non_field_errors:[Invalid data. Expected a dictionary, but got float.]]`,
		`true`:                  `map[non_field_errors:[Invalid data. Expected a dictionary, but got bool.]]`,
		`null`:                  `map[non_field_errors:[Invalid data. Expected a dictionary, but got NoneType.]]`,
	} {
		if _, err := parseObject([]byte(body)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", body, err, want)
		}
	}
}

// FuzzParseObject: no body makes the parser or the readers of fields panic, and what it takes is what
// encoding/json takes.
func FuzzParseObject(f *testing.F) {
	f.Add([]byte(`{"id": 1, "name": "x", "user": "2", "location": null, "username": "\ud83d", "email": 1.5}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		members, err := parseObject(body)
		if err != nil {
			return
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(body, &object); err != nil || len(object) != len(members) {
			t.Errorf("%q: %d members, want %d, %v", body, len(members), len(object), err)
		}
		form := &form{members: members}
		form.newID("id")
		new(API).readDevice(form, iot.Device{})
		readUser(form)
	})
}
