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
	heads []head // a heap
	fresh []cursor
}

type head struct {
	cursor
	reading *iot.Reading
	at      position
}

func merge2(o order, cursors []cursor) *merged { return &merged{order: o, fresh: cursors} }

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
	if len(m.fresh) > 0 {
		for len(m.fresh) > 0 {
			c := m.fresh[0]
			m.fresh = m.fresh[1:]
			m.heads = append(m.heads, head{cursor: c})
			if err := m.advance(len(m.heads) - 1); err != nil {
				return nil, err
			}
		}
		heap.Init(m)
	} else if len(m.heads) > 0 {
		n := len(m.heads)
		if err := m.advance(0); err != nil {
			return nil, err
		}
		if len(m.heads) == n {
			heap.Fix(m, 0)
		} else {
			heap.Init(m)
		}
	}
	if len(m.heads) == 0 {
		return nil, nil
	}
	return m.heads[0].reading, nil
}

// advance moves the head at i on, or removes it.
func (m *merged) advance(i int) error {
	h := &m.heads[i]
	r, err := h.next()
	if err != nil {
		return err
	}
	if r == nil {
		c := h.cursor
		m.heads[i] = m.heads[len(m.heads)-1]
		m.heads = m.heads[:len(m.heads)-1]
		return c.close()
	}
	h.reading, h.at = r, positionOf(r)
	return nil
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
