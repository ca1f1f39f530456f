package sqlite

import (
	"container/heap"
	"errors"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// position is where a reading is in the order of time.
type position struct{ timestamp, device int64 }

func (p position) precedes(other position) bool {
	return p.timestamp < other.timestamp || p.timestamp == other.timestamp && p.device < other.device
}

func positionOf(r *iot.Reading) position { return position{r.At.UnixMilli(), int64(r.Device)} }

// order is that in which readings are listed.
type order struct{ newest bool }

func (o order) precedes(a, b position) bool {
	if o.newest {
		return b.precedes(a)
	}
	return a.precedes(b)
}

// cursor goes through readings in an order.
type cursor interface {
	// next moves on to the next reading. nil: there is none. It is the caller's until the next call.
	next() (*iot.Reading, error)
	close() error
}

// merged goes through what several cursors have, none of which has a reading that another has.
type merged struct {
	order
	heads    []head   // a heap
	fresh    []cursor // that are not in it yet
	returned bool     // the reading of the first head
}

type head struct {
	cursor
	reading *iot.Reading
	at      position
}

// add adds a cursor, which m closes from now on.
func (m *merged) add(c cursor) { m.fresh = append(m.fresh, c) }

func (m *merged) Len() int           { return len(m.heads) }
func (m *merged) Less(i, j int) bool { return m.precedes(m.heads[i].at, m.heads[j].at) }
func (m *merged) Swap(i, j int)      { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }
func (m *merged) Push(x any)         { m.heads = append(m.heads, x.(head)) }
func (m *merged) Pop() any {
	n := len(m.heads) - 1
	last := m.heads[n]
	m.heads = m.heads[:n]
	return last
}

// next implements cursor. The cursor whose reading it returned before is moved on only now: the reading was its caller's.
func (m *merged) next() (*iot.Reading, error) {
	if m.returned {
		m.returned = false
		ok, err := m.heads[0].advance()
		switch {
		case err != nil:
			return nil, err
		case ok:
			heap.Fix(m, 0)
		default:
			if err := heap.Pop(m).(head).close(); err != nil {
				return nil, err
			}
		}
	}
	for len(m.fresh) > 0 {
		h := head{cursor: m.fresh[0]}
		ok, err := h.advance()
		if err == nil && !ok {
			err = h.close()
		}
		if err != nil {
			return nil, err
		}
		m.fresh = m.fresh[1:]
		if ok {
			heap.Push(m, h)
		}
	}
	if len(m.heads) == 0 {
		return nil, nil
	}
	m.returned = true
	return m.heads[0].reading, nil
}

// advance moves h on. It reports false at the end.
func (h *head) advance() (ok bool, err error) {
	h.reading, err = h.next()
	if err != nil || h.reading == nil {
		return false, err
	}
	h.at = positionOf(h.reading)
	return true, nil
}

func (m *merged) close() (err error) {
	for _, h := range m.heads {
		err = errors.Join(err, h.close())
	}
	for _, c := range m.fresh {
		err = errors.Join(err, c.close())
	}
	m.heads, m.fresh = nil, nil
	return err
}
