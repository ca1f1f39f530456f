package pipeline

import "testing"

func TestFiltersMatch(t *testing.T) {
	standard := []string{"sensors/data", "sensors/+/data"}
	tests := []struct {
		name    string
		filters []string
		topic   string
		device  string
		ok      bool
	}{
		{"the legacy topic names no device", standard, "sensors/data", "", true},
		{"the first + is the device", standard, "sensors/42/data", "42", true},
		{"the device is not checked here", standard, "sensors/no number/data", "no number", true},
		{"an empty level names no device", standard, "sensors//data", "", true},
		{"another topic", standard, "sensors/42/status", "", false},
		{"a longer topic", standard, "sensors/42/data/more", "", false},
		{"a shorter topic", standard, "sensors", "", false},
		{"a prefix of a level", standard, "sensors/dat", "", false},
		{"case counts", standard, "Sensors/data", "", false},
		{"an empty topic", standard, "", "", false},
		{"# is any number of levels", []string{"plant/+/#"}, "plant/7/a/b", "7", true},
		{"# is no level too", []string{"plant/#"}, "plant", "", true},
		{"only the first + is the device", []string{"+/+/data"}, "7/8/data", "7", true},
		{"a filter that names the device goes first", []string{"sensors/#", "sensors/+/data"}, "sensors/7/data", "7", true},
		{"wildcards leave the broker's own topics out", []string{"#", "+/broker"}, "$SYS/broker", "", false},
		{"a leading slash is an empty level", []string{"/+/data"}, "/9/data", "9", true},
		{"spaces around a filter are none of its own", []string{" a/b ", "c"}, "a/b", "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs, err := ParseFilters(tt.filters)
			if err != nil {
				t.Fatal(err)
			}
			if device, ok := fs.match(tt.topic); device != tt.device || ok != tt.ok {
				t.Errorf("match(%q) = %q, %v; want %q, %v", tt.topic, device, ok, tt.device, tt.ok)
			}
		})
	}
}

func TestParseFiltersRefuses(t *testing.T) {
	for name, list := range map[string][]string{
		"no filter":              nil,
		"an empty filter":        {"a", ""},
		"# before the last":      {"a/#/b"},
		"# as a part of a level": {"a/b#"},
		"+ as a part of a level": {"a/+b/c"},
		"a shared subscription":  {"$share/group/a"},
		"NUL":                    {"a\x00b"},
	} {
		t.Run(name, func(t *testing.T) {
			if fs, err := ParseFilters(list); err == nil {
				t.Errorf("ParseFilters(%q) = %v, want an error", list, fs)
			}
		})
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	fs, err := ParseFilters([]string{"sensors/data", "sensors/+/data"})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { fs.match("sensors/123456/data") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
