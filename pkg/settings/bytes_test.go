package settings

import (
	"strings"
	"testing"
)

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "1073741824": 1 << 30, "10GB": 10e9, "10GiB": 10 << 30, "10 gb": 10e9, "500mb": 500e6, "7B": 7, "-1": -1, "3TiB": 3 << 40,
	} {
		var got Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "GB", "10G", "1.5GB", "10GBs", "9223372036854775808", "9007199254740992TB", "-9007199254740992TB"} {
		var got Bytes
		if err := got.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "10GiB") {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for want, b := range map[string]Bytes{"0": 0, "1": 1, "100MB": 100e6, "10GiB": 10 << 30, "-1": -1, "1001": 1001} {
		if got := b.String(); got != want {
			t.Errorf("%d: %s", int64(b), got)
		}
	}
}
