package api

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidEmail(t *testing.T) {
	for _, s := range []string{
		"ada@example.com", "a@b.co", "ada.lovelace+iot@mail.example.org", "o'neil_1@x-y.example", "a@münchen.de",
		"a@123.example", "ada@例え.テスト", "a@xn--mnchen-3ya.de", "`{|}~@example.com",
	} {
		if !validEmail(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{
		"", "ada", "@example.com", "ada@", "ada@localhost", "ada@@example.com", "a b@example.com", ".a@example.com",
		"a.@example.com", "a..b@example.com", "ada@example", "ada@-x.com", "ada@x-.com", "ada@x..com", "ada@.com",
		"ada@x.com.", "ada@x.c", "Ada <ada@example.com>", `"ada"@example.com`, "ada@[127.0.0.1]", "ada@ex_ample.com",
		"ada@example.com\n", "ädä@example.com", "ada@" + strings.Repeat("x", 64) + ".com",
	} {
		if validEmail(s) {
			t.Errorf("%q is accepted", s)
		}
	}
}

func TestLoneSurrogate(t *testing.T) {
	for value, want := range map[string]uint64{
		`""`:                     0,
		`"a\u00e9\n\\u"`:         0,
		`"\ud83d\ude00"`:         0,
		`"\ud83d\ude00\ud83d"`:   0xD83D,
		`"\ud83d"`:               0xD83D,
		`"\ud83dx\ude00"`:        0xD83D,
		`"\ud83d\n\ude00"`:       0xD83D,
		`"\ude00"`:               0xDE00,
		`"\ud83d\ud83d\ude00"`:   0xD83D,
		`"\\ud83d"`:              0,
		`"\ud83d\ude00\\\ude00"`: 0xDE00,
	} {
		if got := loneSurrogate(json.RawMessage(value)); got != want {
			t.Errorf("%s: %X, want %X", value, got, want)
		}
	}
}

func TestIntegerFields(t *testing.T) {
	for value, want := range map[string][]string{ // what is wrong with it as the id of a new device
		`7`:                      nil,
		`"7"`:                    nil,
		`" 7 "`:                  nil,
		`null`:                   nil,
		`9007199254740991`:       nil,
		`9007199254740992`:       {"Ensure this value is less than or equal to 9007199254740991."},
		`99999999999999999999`:   {"Ensure this value is less than or equal to 9007199254740991."},
		`"99999999999999999999"`: {"Ensure this value is less than or equal to 9007199254740991."},
		`0`:                      {"Ensure this value is greater than or equal to 1."},
		`-99999999999999999999`:  {"Ensure this value is greater than or equal to 1."},
		`1.5`:                    {"A valid integer is required."},
		`1e3`:                    {"A valid integer is required."},
		`"0x10"`:                 {"A valid integer is required."},
		`"1_000"`:                {"A valid integer is required."},
		`""`:                     {"A valid integer is required."},
		`true`:                   {"A valid integer is required."},
		`[1]`:                    {"A valid integer is required."},
		`{}`:                     {"A valid integer is required."},
	} {
		f := &form{members: map[string]json.RawMessage{"id": json.RawMessage(value)}}
		f.newID("id")
		if diff := cmp.Diff(want, f.errs["id"]); diff != "" {
			t.Errorf("%s: %s", value, diff)
		}
	}
}
