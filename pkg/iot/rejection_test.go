package iot

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestReasons: no reason is forgotten in the list of all.
func TestReasons(t *testing.T) {
	source, err := os.ReadFile("rejection.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []Reason
	for _, constant := range regexp.MustCompile(`Reason = "(\w+)"`).FindAllSubmatch(source, -1) {
		want = append(want, Reason(constant[1]))
	}
	if len(want) == 0 || !slices.Equal(Reasons, want) {
		t.Errorf("Reasons are %v, want %v", Reasons, want)
	}
}
