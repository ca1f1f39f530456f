package ledger

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCheckLatest(t *testing.T) {
	l := mustParse(t, sent(reading(1, 20))+sent(reading(2, 21))+sent(reading(3, 22))+acknowledged(reading(1, 20))+acknowledged(reading(2, 21)))
	for _, test := range []struct {
		name, latest string
		wrong        string // part of the error
	}{
		{"the newest acknowledged reading is right", reading(2, 21), ""},
		{"a newer one that was sent is right too", reading(3, 22), ""},
		{"an older one is wrong", reading(1, 20), "and one of 2026-03-01T12:00:02.000Z was acknowledged"},
		{"other values are wrong", reading(2, 99), "never sent"},
		{"a reading that was not sent is wrong", reading(9, 20), "never sent"},
		{"none is wrong", "", "404"},
		{"one that Telltale dated is not judged", strings.Replace(reading(9, 20), "{", `{"timestamp_source":"server",`, 1), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/api/devices/7/latest/" || test.latest == "" {
					http.NotFound(w, r)
					return
				}
				_, _ = fmt.Fprint(w, test.latest)
			}))
			defer server.Close()
			switch err := l.CheckLatest(t.Context(), server.URL); {
			case err == nil && test.wrong != "":
				t.Errorf("no error, want one with %q", test.wrong)
			case err != nil && (test.wrong == "" || !strings.Contains(err.Error(), test.wrong)):
				t.Errorf("error %v, want one with %q", err, test.wrong)
			}
		})
	}
}
