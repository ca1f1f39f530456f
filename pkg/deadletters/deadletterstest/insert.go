package deadletterstest

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/deadletters"
	"github.com/telltale-iot/telltale/pkg/iot"
)

var insertTests = []test{
	{"what was inserted can be found at once, to the byte", func(t *testing.T, store deadletters.Store) {
		everything := iot.DeadLetter{
			Rejection: iot.Rejection{
				Reason: "any_reason", Detail: "not 'UTF-8': \"\\xff\" ü", Device: iot.MaxDeviceID, Bytes: []byte("\x00{junk\xff"),
			},
			ID: iot.DeadLetterID{0: 255, 15: 1}, Source: "sensors/042/data", Client: "a client ü", Principal: "a gateway ü", Received: start.Add(678 * time.Millisecond),
			TopicDevice: "042", Retained: true, ContentType: "application/x-protobuf",
			Replay: iot.Replay{At: start.Add(time.Hour), Readings: 3},
		}
		nothing := iot.DeadLetter{Rejection: iot.Rejection{Bytes: []byte{}}, ID: iot.DeadLetterID{1}, Received: time.UnixMilli(0).UTC()}
		long := deadLetter(1, iot.ReasonTooLarge, 1, 0)
		long.Bytes, long.Source = bytes.Repeat([]byte("0123456789abcdef"), 128<<10), strings.Repeat("s", 1<<16-1)
		insert(t, store, everything, nothing, long)
		wantFound(t, store, iot.DeadLetterQuery{}, everything, long, nothing)
		got, err := store.DeadLetter(t.Context(), everything.ID)
		if err != nil {
			t.Fatal(err)
		}
		wantFound(t, store, iot.DeadLetterQuery{Reason: "any_reason"}, got)
	}},
	{"what is stored already is not stored again, and stays as it is", func(t *testing.T, store deadletters.Store) {
		first, second := deadLetter(1, iot.ReasonInvalidJSON, 1, 0), deadLetter(2, iot.ReasonInvalidJSON, 1, 1)
		insert(t, store, first)
		mark(t, store, start, 1, first.ID)
		again := first
		again.Detail = "another"
		stored, err := store.InsertDeadLetters(t.Context(), []iot.DeadLetter{again, second, again, second})
		if err != nil || stored != 1 {
			t.Errorf("stored %d, %v; want 1", stored, err)
		}
		first.Replay = iot.Replay{At: start, Readings: 1}
		wantFound(t, store, iot.DeadLetterQuery{}, second, first)
	}},
	{"several writers of the same dead letters store each once", func(t *testing.T, store deadletters.Store) {
		var batch []iot.DeadLetter
		for n := range 50 {
			batch = append(batch, deadLetter(n, iot.ReasonInvalidJSON, 1, n))
		}
		var mu sync.Mutex
		var writers sync.WaitGroup
		sum := 0
		for range 4 {
			writers.Go(func() {
				stored, err := store.InsertDeadLetters(t.Context(), batch)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				sum += stored
			})
		}
		writers.Wait()
		if got := find(t, store, iot.DeadLetterQuery{Limit: iot.MaxPage}).DeadLetters; sum != 50 || len(got) != 50 {
			t.Errorf("%d stored, %d found; want 50", sum, len(got))
		}
	}},
	{"a store that is prepared may be prepared again", func(t *testing.T, store deadletters.Store) {
		d := deadLetter(1, iot.ReasonInvalidJSON, 1, 0)
		insert(t, store, d)
		if err := store.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := store.Check(t.Context()); err != nil {
			t.Error(err)
		}
		wantFound(t, store, iot.DeadLetterQuery{}, d)
	}},
	{"the batch is not kept, and what is found is the caller's", func(t *testing.T, store deadletters.Store) {
		batch := []iot.DeadLetter{deadLetter(1, iot.ReasonInvalidJSON, 1, 0), deadLetter(2, iot.ReasonInvalidJSON, 1, 1)}
		insert(t, store, batch...)
		clear(batch[0].Bytes)
		found := find(t, store, iot.DeadLetterQuery{Limit: 10}).DeadLetters
		for i := range found {
			clear(found[i].Bytes)
		}
		wantFound(t, store, iot.DeadLetterQuery{}, deadLetter(2, iot.ReasonInvalidJSON, 1, 1), deadLetter(1, iot.ReasonInvalidJSON, 1, 0))
	}},
	{"a call whose context has ended stores nothing", func(t *testing.T, store deadletters.Store) {
		if _, err := store.InsertDeadLetters(cancelled(t), []iot.DeadLetter{deadLetter(1, iot.ReasonInvalidJSON, 1, 0)}); err == nil {
			t.Error("no error")
		}
		wantFound(t, store, iot.DeadLetterQuery{})
	}},
}
