package subscribe

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
)

// What is followed is bounded, also where devices announce ever new topics, or the same ones again and again.
func TestFollowed(t *testing.T) {
	s, _ := newSubscriber(t, slog.New(slog.DiscardHandler))
	for range 3 {
		s.Follow("attic/state")
	}
	if got := s.followed.topics; len(got) != 1 {
		t.Errorf("the topics are %q", got)
	}
	long := strings.Repeat("a", 32<<10)
	for i := range 1000 {
		s.Follow(strconv.Itoa(i) + long)
	}
	size := 0
	for _, topic := range s.followed.topics {
		size += len(topic)
	}
	if size < 3<<20 || size > 4<<20 {
		t.Errorf("topics of %d bytes", size)
	}
}
