package main

import (
	"errors"
	"strings"
	"testing"
)

func line(o outcome) string {
	var cells []string
	for _, c := range columns {
		cells = append(cells, c.of(o))
	}
	return strings.Join(cells, " ")
}

func TestLine(t *testing.T) {
	for want, o := range map[string]outcome{
		"f listen 2 5 4 1 0 1 0.0 s m ok":     {fault: "f", mode: listen, injected: 2, acknowledged: 5, stored: 4, repeated: 1, lost: 1, memory: "m"},
		"f listen - 5 5 0 0 0 - m ok":         {fault: "f", mode: listen, injected: 2, acknowledged: 5, stored: 5, memory: "m", untouched: true},
		"f - - - - - - - -  not run":          {fault: "f", mode: dash, notRun: true},
		"f - - - - - - - -  FAIL":             {fault: "f", mode: dash, notRun: true, err: errNotHere},
		"f subscribe 0 0 0 0 0 0 0.0 s  FAIL": {fault: "f", mode: subscribe, err: errors.New("lost")},
	} {
		if got := line(o); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestNotRun(t *testing.T) {
	all := &trial{system: &system{}, row: row{name: "disk-full"}}
	t.Setenv("TEST_REQUIRE", "")
	if o := all.judge(t.Context(), errNotHere); len(o) != 1 || o[0].verdict() != "not run" {
		t.Errorf("%+v", o)
	}
	t.Setenv("TEST_REQUIRE", "1")
	if o := all.judge(t.Context(), errNotHere); len(o) != 1 || o[0].verdict() != "FAIL" {
		t.Errorf("required: %+v", o)
	}
}
