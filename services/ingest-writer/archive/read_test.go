package archive

import (
	"bytes"
	"testing"

	"github.com/telltale-iot/telltale/pkg/kafka"
)

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		promise     string
		bytes, kept int
		detail      string
	}{
		{"a dead letter is kept whole", maxBytes, maxBytes, ""},
		{"of one that no store may take the beginning is kept", maxBytes + 1, 64 << 10, "the first 65536 of 4194305 bytes: "},
	} {
		t.Run(tt.promise, func(t *testing.T) {
			got := read([]kafka.Record{{Value: bytes.Repeat([]byte{'x'}, tt.bytes)}})
			if len(got) != 1 || len(got[0].Bytes) != tt.kept || got[0].Detail != tt.detail {
				t.Errorf("%d dead letters, %d bytes, detail %q", len(got), len(got[0].Bytes), got[0].Detail)
			}
		})
	}
}
