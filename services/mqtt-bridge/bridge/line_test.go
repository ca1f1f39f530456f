package bridge

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// peer is the other end of a conn.
type peer struct {
	net.Conn
	conn *conn
}

func newPeer(t *testing.T) peer {
	ours, theirs := net.Pipe()
	c := newConn(ours)
	t.Cleanup(func() { _ = c.Close() })
	return peer{theirs, c}
}

// acks returns the packet ids that the peer was sent acknowledgements of, once no more come.
func (p peer) acks(t *testing.T, kind byte) []uint16 {
	t.Helper()
	var ids []uint16
	for b := make([]byte, 4); ; {
		_ = p.SetReadDeadline(time.Now().Add(time.Second)) // of the test's own clock
		if _, err := io.ReadFull(p, b); err != nil {
			return ids
		}
		if b[0] != kind || b[1] != 2 {
			t.Fatalf("sent % x, want an acknowledgement of kind %x", b, kind)
		}
		ids = append(ids, uint16(b[2])<<8|uint16(b[3]))
	}
}

func testLine() *line {
	return newLine(newMetrics(prometheus.NewRegistry(), func() float64 { return 0 }), nil)
}

// testMessage is one whose content is given by its hash.
func testMessage(l *line, id uint16, qos byte, content uint64) *message {
	return &message{line: l, id: id, qos: qos, hash: content}
}

// receive is what a source does with a message: true when it is new.
func receive(c *conn, m *message, dup bool) bool {
	if m.line.resume(c, m, dup) {
		return false
	}
	m.line.open.add(1)
	return m.line.push(c, m)
}

func TestLineAcknowledgesInOrderOfReceipt(t *testing.T) {
	tests := []struct {
		name    string
		settled []int // of the messages 1 to 5, in this order
		want    []uint16
	}{
		{"nothing before Kafka's answer", nil, nil},
		{"in order", []int{1, 2, 3}, []uint16{1, 2, 3}},
		{"nothing before the first", []int{2, 3, 4, 5}, nil},
		{"all when the first comes last", []int{5, 3, 4, 2, 1}, []uint16{1, 2, 3, 4, 5}},
		{"up to the first that is missing", []int{1, 3}, []uint16{1}},
		{"up to the first that is missing, late", []int{2, 1, 4}, []uint16{1, 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, p := testLine(), newPeer(t)
				l.attach(p.conn, nil)
				var messages []*message
				for id := range uint16(5) {
					m := testMessage(l, id+1, 1, 0)
					receive(p.conn, m, false)
					messages = append(messages, m)
				}
				for _, i := range tt.settled {
					l.settle(messages[i-1], settled)
				}
				if got := p.acks(t, pubackByte); !slices.Equal(got, tt.want) {
					t.Errorf("acknowledged %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestLineLeavesQoS0Alone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, p := testLine(), newPeer(t)
		l.attach(p.conn, nil)
		zero, one := testMessage(l, 0, 0, 0), testMessage(l, 1, 1, 0)
		receive(p.conn, zero, false)
		receive(p.conn, one, false)
		l.settle(one, settled)
		if got := p.acks(t, pubackByte); !slices.Equal(got, []uint16{1}) {
			t.Errorf("acknowledged %v, want 1 alone", got)
		}
		if n := l.open.inUse(); n != 1 {
			t.Errorf("%d messages are open, want the one of QoS 0", n)
		}
	})
}

func TestLineAfterReconnect(t *testing.T) {
	tests := []struct {
		name    string
		qos     byte
		settle  bool   // before it comes again
		content uint64 // of what comes with the same packet id; the first time it was 1
		dup     bool
		isNew   bool
	}{
		{"what waits for Kafka is not taken twice", 1, false, 1, true, false},
		{"nor is it at QoS 2", 2, false, 1, true, false},
		{"what Kafka has and was not acknowledged is not taken twice", 1, true, 1, true, false},
		{"nor is that at QoS 2", 2, true, 1, true, false},
		{"another message with the same id is taken, whatever its DUP flag says", 1, false, 2, true, true},
		{"an equal message without DUP is another one", 1, false, 1, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, before, after := testLine(), newPeer(t), newPeer(t)
				l.attach(before.conn, nil)
				first := testMessage(l, 7, tt.qos, 1)
				receive(before.conn, first, false)
				l.detach(before.conn)
				if tt.settle {
					l.settle(first, settled)
				}
				l.attach(after.conn, nil)
				again := testMessage(l, 7, tt.qos, tt.content)
				if got := receive(after.conn, again, tt.dup); got != tt.isNew {
					t.Fatalf("taken as new: %v, want %v", got, tt.isNew)
				}
				kind := byte(pubackByte)
				if tt.qos == 2 {
					kind = pubrecByte
				}
				if !tt.isNew && !tt.settle {
					if got := after.acks(t, kind); got != nil {
						t.Errorf("acknowledged %v before Kafka's answer", got)
					}
					l.settle(first, settled)
				}
				if tt.isNew {
					l.settle(first, settled)
					if got := after.acks(t, kind); got != nil {
						t.Errorf("acknowledged %v for the message of an earlier connection", got)
					}
					l.settle(again, settled)
				}
				if got := after.acks(t, kind); !slices.Equal(got, []uint16{7}) {
					t.Errorf("acknowledged %v, want 7", got)
				}
			})
		})
	}

	t.Run("what failed is taken again", func(t *testing.T) {
		l, before, after := testLine(), newPeer(t), newPeer(t)
		l.attach(before.conn, nil)
		first := testMessage(l, 7, 1, 1)
		receive(before.conn, first, false)
		l.settle(first, lost)
		l.attach(after.conn, nil)
		if !receive(after.conn, testMessage(l, 7, 1, 1), true) {
			t.Error("it is not")
		}
	})

	t.Run("what Kafka refuses for good breaks the connection, and is taken again", func(t *testing.T) {
		l, before, after := testLine(), newPeer(t), newPeer(t)
		l.attach(before.conn, nil)
		first := testMessage(l, 7, 1, 1)
		first.pipe = &pipeline{metrics: l.metrics, log: slog.New(slog.DiscardHandler)}
		first.waiting.Store(2)
		receive(before.conn, first, false)
		first.recordDone(&first.produced, errors.New("refused"))
		select {
		case <-before.conn.closed:
			t.Error("the connection is closed before the message is done with")
		default:
		}
		first.recordDone(&first.produced, nil)
		<-before.conn.closed
		l.attach(after.conn, nil)
		if !receive(after.conn, testMessage(l, 7, 1, 1), true) {
			t.Error("it is not taken again")
		}
	})

	t.Run("an old connection can add nothing", func(t *testing.T) {
		l, before, after := testLine(), newPeer(t), newPeer(t)
		l.attach(before.conn, nil)
		l.attach(after.conn, nil)
		if receive(before.conn, testMessage(l, 7, 1, 1), false) {
			t.Error("it can")
		}
	})
}

func TestLineConfirmsQoS2(t *testing.T) {
	t.Run("when Kafka has it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, p := testLine(), newPeer(t)
			var confirmed []uint16
			l.attach(p.conn, func(m *message) { confirmed = append(confirmed, m.id) })
			m := testMessage(l, 7, 2, 1)
			receive(p.conn, m, false)
			if receive(p.conn, testMessage(l, 7, 2, 1), true) {
				t.Error("taken again while it waits")
			}
			if confirmed != nil {
				t.Errorf("confirmed %v before Kafka's answer", confirmed)
			}
			l.settle(m, settled)
			if got := p.acks(t, pubrecByte); !slices.Equal(got, []uint16{7}) || !slices.Equal(confirmed, got) {
				t.Errorf("sent PUBREC of %v and confirmed %v, want 7 both", got, confirmed)
			}
		})
	})

	t.Run("when it is answered for while the device is away", func(t *testing.T) {
		l, p := testLine(), newPeer(t)
		var confirmed []uint16
		ended := false
		l.idle = func() { ended = l.abandon() }
		l.attach(p.conn, func(m *message) { confirmed = append(confirmed, m.id) })
		m := testMessage(l, 7, 2, 1)
		receive(p.conn, m, false)
		l.detach(p.conn)
		if ended {
			t.Error("the line ended with a message on its way")
		}
		l.settle(m, settled)
		if !ended || !slices.Equal(confirmed, []uint16{7}) {
			t.Errorf("ended: %v, confirmed %v; want true and 7", ended, confirmed)
		}
	})

	t.Run("only when Kafka has it", func(t *testing.T) {
		for name, reconnected := range map[string]bool{"over its connection": false, "after another one": true} {
			t.Run(name, func(t *testing.T) {
				l := testLine()
				var confirmed []uint16
				ended := false
				l.idle = func() { ended = l.abandon() }
				confirm := func(m *message) { confirmed = append(confirmed, m.id) }
				first, second := newPeer(t), newPeer(t)
				l.attach(first.conn, confirm)
				refused, kept := testMessage(l, 7, 2, 1), testMessage(l, 8, 2, 1)
				receive(first.conn, refused, false)
				receive(first.conn, kept, false)
				last := first
				if reconnected {
					l.attach(second.conn, confirm)
					last = second
				}
				l.settle(refused, lost)
				l.settle(kept, settled)
				l.detach(last.conn)
				if !ended || !slices.Equal(confirmed, []uint16{8}) {
					t.Errorf("ended: %v, confirmed %v; want true and only 8, which Kafka has", ended, confirmed)
				}
			})
		}
	})
}
