package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

// BenchmarkGet is what a request costs beside its connection: on embedded stores.
func BenchmarkGet(b *testing.B) {
	s := embedded(b)
	var batch []iot.Reading
	for n := range 1000 {
		batch = append(batch, reading(1, n))
	}
	s.insert(b, batch...)
	s.put(b, batch[len(batch)-1])
	seen := make([]iot.Identity, 20)
	for i := range seen {
		seen[i].ID = iot.DeviceID(i + 1)
	}
	if _, err := s.metadata.EnsureDevices(b.Context(), seen, iot.Admission{}); err != nil {
		b.Fatal(err)
	}
	handler := s.handler(b)
	for _, bb := range []struct{ name, path string }{
		{"latest", "/api/devices/1/latest/"},
		{"readings100", "/api/devices/1/readings/?limit=100"},
		{"devices20", "/api/devices/"},
		{"notfound", "/api/users/7/"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := discard{http.Header{}}
				handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, bb.path, nil))
			}
		})
	}
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
