package simulator

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// serveFake runs a connection for ctx over a pipe, with peer at the other end, and
// returns the error that ended it.
func serveFake(ctx context.Context, t *testing.T, cfg Config, peer func(net.Conn)) error {
	t.Helper()
	cfg = cfg.withDefaults()
	var counts counters
	s := newStream(t.Context(), cfg, 0, time.Now(), &counts)
	c := newConnection(nil, cfg, 0, s, nil, &counts, nil)
	client, server := net.Pipe()
	var serving sync.WaitGroup
	serving.Go(func() {
		defer func() { _ = server.Close() }()
		peer(server)
	})
	defer serving.Wait()
	return c.serve(ctx, client)
}

func TestKeepAlive(t *testing.T) {
	t.Run("an idle connection is pinged, and lives as long as the answers come", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			pings := 0
			cfg := Config{Devices: 1, Rate: 1e-9} // a reading in 30 years
			err := serveFake(ctx, t, cfg, func(conn net.Conn) {
				for r := bufio.NewReader(conn); ; pings++ {
					var packet [2]byte
					if _, err := io.ReadFull(r, packet[:]); err != nil || packet != [2]byte(pingreq) {
						return
					}
					_, _ = conn.Write([]byte{typePingresp, 0})
				}
			})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("ended by %v", err)
			}
			if pings < 3*60 {
				t.Errorf("%d pings in an hour with a keep-alive of %v", pings, keepAlive)
			}
		})
	})
	t.Run("a broker that falls silent is given up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			err := serveFake(t.Context(), t, Config{Devices: 1, Rate: 1}, func(conn net.Conn) {
				_, _ = io.Copy(io.Discard, conn)
			})
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != deadAfter {
				t.Errorf("ended after %v by %v", time.Since(start), err)
			}
		})
	})
	t.Run("a packet that a publisher must not get ends the connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			err := serveFake(t.Context(), t, Config{Devices: 1, Rate: 1}, func(conn net.Conn) {
				_, _ = conn.Write([]byte{0x90, 3, 0, 1, 0}) // SUBACK
				_, _ = io.Copy(io.Discard, conn)
			})
			if err == nil || errors.Is(err, errFinished) {
				t.Errorf("ended by %v", err)
			}
		})
	})
}

func TestAcknowledgementsInAnyOrder(t *testing.T) {
	cfg := Config{Devices: 1, InFlight: 4}.withDefaults()
	var counts counters
	s := newStream(t.Context(), cfg, 0, time.Now(), &counts)
	c := newConnection(nil, cfg, 0, s, nil, &counts, nil)
	fill := func() {
		t.Helper()
		if _, _, err := c.fill(nil, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	state := func(wantHead, wantTail uint64, wantAcknowledged int64) {
		t.Helper()
		if got := counts.acknowledged.Load(); c.head != wantHead || c.tail != wantTail || got != wantAcknowledged {
			t.Fatalf("in flight %d to %d, %d acknowledged, want %d to %d, %d", c.head, c.tail, got, wantHead, wantTail, wantAcknowledged)
		}
	}
	now := time.Now()
	c.acknowledge(2, now) // before anything was sent
	state(0, 0, 0)
	fill()
	state(0, 4, 0)
	c.acknowledge(3, now)
	c.acknowledge(2, now)
	state(0, 4, 2)
	fill() // no packet id is used again while an earlier message is in flight
	state(0, 4, 2)
	c.acknowledge(3, now) // twice counts once
	c.acknowledge(9, now) // and an unknown one not at all
	state(0, 4, 2)

	var again []byte // after a reconnect
	for _, place := range []uint16{0, 3} {
		again = appendPublish(again, &c.window[place].publication, place+1, true)
	}
	if got := c.appendUnacknowledged(nil); !bytes.Equal(got, again) {
		t.Fatalf("sent again:\n%q\nwant messages 1 and 4:\n%q", got, again)
	}

	c.acknowledge(1, now)
	state(3, 4, 3)
	c.acknowledge(1, now) // is not in flight any more
	state(3, 4, 3)
	fill()
	state(3, 7, 3)
	c.acknowledge(1, now)
	c.acknowledge(4, now)
	state(5, 7, 5)
}
