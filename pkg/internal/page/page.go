// Package page fills the pages of listings, so that every store means the same by one.
package page

import (
	"fmt"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// Item is what is listed: a reading or a dead letter.
type Item[Cursor any] interface {
	ContentBytes() int
	Cursor() Cursor // right behind it
}

// Page is a page that is being filled.
type Page[T Item[Cursor], Cursor any] struct {
	Items []T
	Next  Cursor // where the next page starts; zero at the end of the listing

	limit, maxBytes, bytes int
}

// New returns an empty page for at most limit items, and at most maxBytes of content or one item. It fails where
// limit is out of bounds.
func New[T Item[Cursor], Cursor any](limit, maxBytes int) (*Page[T, Cursor], error) {
	if limit < 1 || limit > iot.MaxPage {
		return nil, fmt.Errorf("limit %d: %w", limit, iot.ErrInvalid)
	}
	const usual = 100 // items; more are rare
	return &Page[T, Cursor]{Items: make([]T, 0, min(limit, usual)), limit: limit, maxBytes: maxBytes}, nil
}

// Rows is how many items it takes to fill the page: one more shows whether there is a next one.
func (p *Page[T, Cursor]) Rows() int { return p.limit + 1 }

// Add adds the next item while there is room for it, and reports whether it wants more. Without room the next page
// starts behind the item that was added before.
func (p *Page[T, Cursor]) Add(item T) bool {
	n := len(p.Items)
	if p.bytes += item.ContentBytes(); n > 0 && (n == p.limit || p.bytes > p.maxBytes) {
		p.Next = p.Items[n-1].Cursor()
		return false
	}
	p.Items = append(p.Items, item)
	return true
}
