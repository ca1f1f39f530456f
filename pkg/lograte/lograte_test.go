package lograte

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		var got []int
		for range 125 { // one a second
			if n := l.Event(); n > 0 {
				got = append(got, n)
			}
			time.Sleep(time.Second)
		}
		if want := []int{1, 60, 60}; !slices.Equal(got, want) {
			t.Errorf("lines with the counts %v, want %v", got, want)
		}
	})
}

func TestKindsHaveLinesOfTheirOwn(t *testing.T) {
	var l Limiters
	var got []int
	for _, kind := range []string{"a", "a", "b", "a", "b"} {
		got = append(got, l.Event(kind))
	}
	if want := []int{1, 0, 1, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("lines with the counts %v, want %v", got, want)
	}
}
