package replay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/replay"
)

func TestKafkaAway(t *testing.T) {
	for _, tt := range []struct {
		trouble string
		away    func(*testing.T) string
	}{
		{"refuses connections", func(t *testing.T) string {
			l := listen(t)
			_ = l.Close()
			return l.Addr().String()
		}},
		{"never answers", func(t *testing.T) string {
			l := listen(t)
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { _, _ = io.Copy(io.Discard, c) }()
				}
			}()
			return l.Addr().String()
		}},
	} {
		t.Run("a Kafka that "+tt.trouble+" is an error in time, and marks nothing", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.kafka.Brokers = []string{tt.away(t)}
			d := w.keep(t, 1, `{"x": 1}`)
			w.startProducer(t)
			r := w.newReplayer(w.deadLetters)
			begin := time.Now()
			if outcomes, err := r.Replay(t.Context(), []iot.DeadLetter{d}); err == nil || time.Since(begin) > 4*time.Second {
				t.Errorf("%+v, %v after %v", outcomes, err, time.Since(begin))
			}
			if at := w.deadLetter(t, d.ID).Replay.At; !at.IsZero() {
				t.Errorf("marked %v", at)
			}
		})
	}
	t.Run("a Kafka that went away is an error in time, and is used again when it is back", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.startKafka(t)
		w.replay(t, w.keep(t, 1, `{"x": 1}`))
		stopped := w.broker
		_ = stopped.Close(t.Context())
		lost := w.keep(t, 2, `{"x": 2}`)
		begin := time.Now()
		if outcomes, err := w.replayer.Replay(t.Context(), []iot.DeadLetter{lost}); err == nil || time.Since(begin) > 4*time.Second {
			t.Errorf("%+v, %v after %v", outcomes, err, time.Since(begin))
		}
		if got := w.replay(t, w.keep(t, 3, `nothing`), lost); got[0].Result != replay.Rejected || got[1].Result != replay.Unavailable {
			t.Errorf("%+v", got)
		}
		w.startBroker(t, stopped.Addr())
		for { // the producer connects anew by itself
			if outcomes, err := w.replayer.Replay(t.Context(), []iot.DeadLetter{lost}); err == nil && outcomes[0].Result == replay.Replayed {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		for _, r := range w.produced(t, 3)[1:] { // what was given up on is sent in the end
			if r != "42 2026-03-01T12:00:00.002 2" {
				t.Error(r)
			}
		}
		if at := w.deadLetter(t, lost.ID).Replay.At; at.IsZero() {
			t.Error("it is not marked")
		}
	})
	t.Run("a client that goes away is no trouble of Kafka", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.startKafka(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.replayer.Replay(ctx, []iot.DeadLetter{w.keep(t, 1, `{"x": 1}`)}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}
