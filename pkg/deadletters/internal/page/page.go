// Package page gathers the dead letters of a page, so that every store means the same by it.
package page

import (
	"fmt"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Page is a page that is being filled.
type Page struct {
	iot.DeadLetterPage
	limit, bytes int
}

// Of returns the empty page for q. It fails where q.Limit is out of bounds.
func Of(q iot.DeadLetterQuery) (*Page, error) {
	if q.Limit < 1 || q.Limit > iot.MaxPage {
		return nil, fmt.Errorf("limit %d: %w", q.Limit, iot.ErrInvalid)
	}
	return &Page{limit: q.Limit}, nil
}

// Rows is how many dead letters it takes to fill the page: one more tells whether the walk goes on.
func (p *Page) Rows() int { return p.limit + 1 }

// Add adds the next dead letter of the walk while there is room for it, and reports whether there may be more. If
// not, the walk goes on behind the dead letter that was added before.
func (p *Page) Add(d iot.DeadLetter) bool {
	n := len(p.DeadLetters)
	if p.bytes += d.ContentBytes(); n > 0 && (n == p.limit || p.bytes > iot.MaxDeadLetterPageBytes) {
		last := &p.DeadLetters[n-1]
		p.Next = iot.DeadLetterCursor{Received: last.Received, ID: last.ID}
		return false
	}
	p.DeadLetters = append(p.DeadLetters, d)
	return true
}
