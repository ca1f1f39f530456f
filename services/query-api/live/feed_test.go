package live

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/telltale-iot/telltale/pkg/event"
	"github.com/telltale-iot/telltale/pkg/heaptest"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/pkg/kafka"
	"github.com/telltale-iot/telltale/pkg/kafka/kafkatest"
)

// newFeedOnly returns a feed that is given records by hand, of three partitions, and a hub for its listeners.
func newFeedOnly(t testing.TB) (*Hub, *feed) {
	h := New(kafka.Config{Topic: "raw-data"}, Devices{}, kafkatest.Discard(), prometheus.NewRegistry())
	f := newFeed(h)
	f.begin([]kafka.TopicEnds{{Next: []int64{0, 0, 0}}, {Next: []int64{0}}})
	return h, f
}

// give gives f a reading with a text of some length, on the first partition.
func give(f *feed, offset int64, length int) {
	f.handle(0, []kafka.Record{numbered(0, offset, length)})
}

// numbered returns a record of a reading that has the offset as its value.
func numbered(partition int32, offset int64, length int) kafka.Record {
	r := iot.Reading{
		Device: 42 + iot.DeviceID(partition), At: time.UnixMilli(1_700_000_000_000).UTC(),
		Metrics: []iot.Metric{{Name: "n", Value: float64(offset)}}, Attributes: []iot.Attribute{{Name: "a", Value: strings.Repeat("x", length)}},
	}
	rec := event.Record("raw-data", r)
	rec.Partition, rec.Offset, rec.Timestamp = partition, offset, r.At
	return rec
}

// join has a client listen to f, which is run in the background until ctx ends.
func join(ctx context.Context, h *Hub, f *feed, c Client) (ended chan error) {
	ctx, cut := context.WithCancelCause(ctx)
	context.AfterFunc(ctx, c.Cut)
	l := &listener{Client: c, hub: h, feed: f, cut: cut}
	ended = make(chan error, 1)
	go func() {
		_ = l.run(ctx)
		ended <- context.Cause(ctx)
	}()
	return ended
}

// wantCanceled waits for the end of a client that was stopped.
func wantCanceled(t *testing.T, ended chan error) {
	t.Helper()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// TestHeartbeat: every 15 s a client is told where the stream is, also of what it did not ask for.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, f := newFeedOnly(t)
		ctx, stop := context.WithCancel(t.Context())
		go f.gather(ctx)
		var sent []string
		ended := join(ctx, h, f, Client{
			Filter: Filter{Devices: map[iot.DeviceID]bool{1: true}}, Cut: func() {},
			Send: func(text []byte) error { sent = append(sent, string(text)); return nil },
		})
		give(f, 0, 1)
		time.Sleep(40 * time.Second)
		at := string(f.now().append(nil))
		stop()
		wantCanceled(t, ended)
		if got := len(sent); got != 3 || !strings.HasPrefix(sent[0], "id: ") {
			t.Fatalf("%q", sent)
		}
		want := ": heartbeat\nid: " + at + "\n\n"
		if diff := cmp.Diff([]string{want, want}, sent[1:]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestGather: what comes is sent at once after a pause, and 25 times a second where it does not end.
func TestGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, f := newFeedOnly(t)
		ctx, stop := context.WithCancel(t.Context())
		go f.gather(ctx)
		sends := 0
		ended := join(ctx, h, f, Client{Cut: func() {}, Send: func([]byte) error { sends++; return nil }})
		synctest.Wait()
		began := time.Now()
		give(f, 0, 1)
		synctest.Wait()
		if sends != 2 || time.Since(began) > 0 {
			t.Errorf("%d sent after %v, want a place and an event at once", sends, time.Since(began))
		}
		for n := range int64(1000) {
			time.Sleep(time.Millisecond)
			give(f, n+1, 1)
		}
		synctest.Wait()
		if sends > 2+26 {
			t.Errorf("%d sent in a second", sends)
		}
		stop()
		wantCanceled(t, ended)
	})
}

// TestSlowClient: a client that takes nothing is cut off when the ring overtakes it, and counted; it delays nobody.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, f := newFeedOnly(t)
		ctx, stop := context.WithCancel(t.Context())
		go f.gather(ctx)
		cut := make(chan struct{})
		taken := 0
		slow := join(ctx, h, f, Client{Cut: func() { close(cut) }, Send: func([]byte) error {
			if taken++; taken > 1 {
				<-cut
				return errors.New("cut off")
			}
			return nil
		}})
		events := 0
		quick := join(ctx, h, f, Client{Cut: func() {}, Send: func(text []byte) error {
			events += strings.Count(string(text), "event: reading")
			return nil
		}})
		synctest.Wait()
		const length, n = 50_000, 2 * ringBytes / 50_000
		for i := range int64(n) {
			give(f, i, length)
			synctest.Wait()
		}
		select {
		case err := <-slow:
			if !errors.Is(err, ErrTooSlow) {
				t.Errorf("the slow one ended with %v", err)
			}
		default:
			t.Error("the slow one is not cut off")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if events != n {
			t.Errorf("the quick one got %d events of %d", events, n)
		}
		if got := testutil.ToFloat64(h.slow); got != 1 {
			t.Errorf("%v slow clients counted", got)
		}
		stop()
		wantCanceled(t, quick)
	})
}

// TestReplicas: replicas have the partitions in orders of their own, and a client that is cut off anywhere and goes on at any of
// them gets each event once, those of a partition in their order.
func TestReplicas(t *testing.T) {
	const perPartition = 50
	for range 50 {
		var feeds []*feed
		var hub *Hub
		for range 3 {
			h, f := newFeedOnly(t)
			next := make([]int64, 3)
			for slices.Min(next) < perPartition {
				partition := rand.IntN(len(next))
				if next[partition] == perPartition {
					continue
				}
				f.handle(0, []kafka.Record{numbered(int32(partition), next[partition], 1)})
				if next[partition]++; rand.IntN(5) == 0 {
					f.flush()
				}
			}
			f.flush()
			hub, feeds = h, append(feeds, f)
		}
		at := string(placeOf([]kafka.TopicEnds{{Next: []int64{0, 0, 0}}, {Next: []int64{0}}}).append(nil))
		told := make([]int64, 3)
		for slices.Min(told) < perPartition {
			f := feeds[rand.IntN(len(feeds))]
			left := 1 + rand.IntN(5000) // bytes until it is cut off
			l := &listener{hub: hub, feed: f, Client: Client{Send: func(text []byte) error {
				whole := text
				if left -= len(text); left < 0 {
					whole = text[:len(text)+left]
				}
				for block := range strings.SplitAfterSeq(string(whole), "\n\n") {
					if !strings.HasSuffix(block, "\n\n") {
						break
					}
					var device, offset int64
					if _, err := fmt.Sscanf(block, "event: reading\ndata: {\"device_id\":%d,", &device); err != nil {
						t.Fatalf("%q: %v", block, err)
					}
					_, metrics, _ := strings.Cut(block, `"metrics":`)
					if _, err := fmt.Sscanf(metrics, `{"n":%d}`, &offset); err != nil {
						t.Fatalf("%q: %v", block, err)
					}
					if offset != told[device-42] {
						t.Fatalf("%d of partition %d came when it was %d's turn", offset, device-42, told[device-42])
					}
					told[device-42]++
					_, id, _ := strings.Cut(block, "\nid: ")
					at = strings.TrimSuffix(id, "\n\n")
				}
				if left < 0 {
					return errors.New("cut off")
				}
				return nil
			}}}
			var err error
			if l.at, err = parsePlace(at); err != nil {
				t.Fatal(err)
			}
			if rand.IntN(2) == 0 { // of what comes event by event
				l.Filter.Devices = map[iot.DeviceID]bool{42: true, 43: true, 44: true}
			}
			if _, ok := f.join(l); !ok {
				t.Fatal("it is not kept")
			}
			for err == nil {
				c, _ := f.chunk(l.next.Load())
				if c == nil {
					break
				}
				err = l.take(t.Context(), c)
			}
		}
	}
}

// TestMemory: many clients that take nothing, each at another place, hold no more than the ring.
func TestMemory(t *testing.T) {
	h, f := newFeedOnly(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	grown := heaptest.Watch(t)
	var all []chan error
	offset := int64(0)
	for range 100 {
		all = append(all, join(ctx, h, f, blocked()))
		for range 4 {
			give(f, offset, 80_000)
			offset++
		}
		f.building.Lock()
		f.flush()
		f.building.Unlock()
	}
	if got, most := grown(), 2*ringBytes; got > most { // slices grow by more than they need
		t.Errorf("%d bytes, want %d at most", got, most)
	}
	stop()
	for _, ended := range all {
		if err := <-ended; !errors.Is(err, ErrTooSlow) && !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	}
}

// TestMemoryOfNothing: chunks without events are kept no longer than others.
func TestMemoryOfNothing(t *testing.T) {
	const partitions, chunks = 1000, 400
	h, _ := newFeedOnly(t)
	f := newFeed(h)
	f.begin([]kafka.TopicEnds{{Next: make([]int64, partitions)}, {Next: []int64{0}}})
	for offset := range int64(chunks) {
		f.handle(0, []kafka.Record{{Offset: offset, Value: []byte("no reading")}})
		f.building.Lock()
		f.flush()
		f.building.Unlock()
	}
	if got, most := len(f.chunks), ringBytes/(2*partitions*markBytes); got > most {
		t.Errorf("%d chunks of %d are kept, want %d at most", got, chunks, most)
	}
}

// blocked is a client that takes a place and no more, until it is cut off.
func blocked() Client {
	cut, first := make(chan struct{}), true
	return Client{
		Cut: func() { close(cut) },
		Send: func([]byte) error {
			if first {
				first = false
				return nil
			}
			<-cut
			return errors.New("cut off")
		},
	}
}

func TestPlace(t *testing.T) {
	twelve := place{topics: topicsID{1, 2, 3, 4, 5, 6}, devices: 1 << 31}
	for topic := range topics {
		for n := range int64(12) {
			twelve.set(topic, int(n), mark{next: n * 30_000_000 * int64(1-topic)})
		}
	}
	within := twelve.clone()
	within.set(0, 3, mark{next: 5, within: 70_000})
	for _, want := range []place{{}, twelve, within} {
		text := string(want.append(nil))
		got, err := parsePlace(text)
		if err != nil || !got.same(want) || !want.same(got) || got.devices != want.devices {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
		for n := range len(text) {
			if got, err := parsePlace(text[:n]); err == nil && got.covers(want) {
				t.Errorf("%d characters of %s are as far", n, text)
			}
		}
	}
	if text := twelve.append(nil); len(text) > 110 {
		t.Errorf("%d characters: %s", len(text), text)
	}
	if twelve.covers(within) == within.covers(twelve) {
		t.Error("a place within a record is not behind that record")
	}
}

// FuzzPlace: any text is a place that can be written again, or none.
func FuzzPlace(f *testing.F) {
	f.Add("AQ")
	f.Add(string(placeOf([]kafka.TopicEnds{{Next: []int64{1, 200}}, {Next: []int64{3}}}).append(nil)))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePlace(text)
		if err != nil {
			return
		}
		again, err := parsePlace(string(p.append(nil)))
		if err != nil || !again.same(p) {
			t.Errorf("%q: %+v, %v", text, again, err)
		}
	})
}
