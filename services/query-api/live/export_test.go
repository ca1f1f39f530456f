package live

import "testing"

// Ahead returns a place that is so many records of the first partition ahead of another.
func Ahead(t testing.TB, id string, records int64) string {
	t.Helper()
	p, err := parsePlace(id)
	if err != nil {
		t.Fatal(err)
	}
	m := p.mark(0, 0)
	m.next += records
	p.set(0, 0, m)
	return string(p.append(nil))
}
