package rollups

import (
	"slices"
	"strings"
	"testing"
)

func TestIn(t *testing.T) {
	for args, want := range map[string]struct {
		work   Work
		flags  string
		ok     bool
		useful bool
	}{
		"rollups check":                    {Check, "", true, true},
		"rollups rebuild --log-level=warn": {Rebuild, "--log-level=warn", true, true},
		"rollups check rebuild":            {Check, "rebuild", true, true}, // what is left is refused as an argument of any program
		"rollups":                          {"", "", true, false},
		"rollups --help":                   {"", "--help", true, false},
		"rollups foo":                      {"foo", "", true, false},
		"rollups Check":                    {"Check", "", true, false},
		"":                                 {},
		"--log-level=warn rollups check":   {},
		"check":                            {},
	} {
		work, flags, ok := In(strings.Fields(args))
		if work != want.work || !slices.Equal(flags, strings.Fields(want.flags)) || ok != want.ok {
			t.Errorf("%q: %q, %q, %v", args, work, flags, ok)
		}
		if err := work.Validate(); (err == nil) != want.useful || err != nil && !strings.Contains(err.Error(), "check|rebuild") {
			t.Errorf("%q: %v", args, err)
		}
	}
}
