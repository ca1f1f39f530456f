package iot_test

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/telltale-iot/telltale/pkg/iot"
)

func TestParseDeviceID(t *testing.T) {
	for s, want := range map[string]iot.DeviceID{"1": 1, "42": 42, "007": 7, "9007199254740991": iot.MaxDeviceID} {
		if got, err := iot.ParseDeviceID(s); err != nil || got != want {
			t.Errorf("ParseDeviceID(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "0", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "1_000", "9007199254740992", "99999999999999999999", "١"} {
		if id, err := iot.ParseDeviceID(s); !errors.Is(err, iot.ErrInvalid) {
			t.Errorf("ParseDeviceID(%q) = %d, %v; want ErrInvalid", s, id, err)
		}
	}
}

// The ids are Python's, of each key k:
//
//	2**52 + (int.from_bytes(hashlib.sha256(b"telltale-key-v1\0" + k.encode()).digest()[:8], "big") >> 12)
func TestParseDevice(t *testing.T) {
	longest := strings.Repeat("k", iot.MaxKeyBytes)
	for s, want := range map[string]struct {
		id  iot.DeviceID
		key string
	}{
		"1":                {1, ""},
		"42":               {42, ""},
		"9007199254740991": {iot.MaxDeviceID, ""},
		"kitchen-1":        {7380597148161619, "kitchen-1"},
		"0042":             {6865109492402952, "0042"},
		"0101010101010102": {6428294659922859, "0101010101010102"}, // an EUI
		"a":                {7557676867162315, "a"},
		"Küche":            {7453437651918912, "Küche"},
		"-1":               {8968404939859785, "-1"},
		"0":                {5669336221442458, "0"},
		" 42":              {7684443521407478, " 42"},
		"9007199254740992": {8702188089097056, "9007199254740992"}, // 2^53
		longest:            {5675316318830774, longest},
	} {
		if id, key, err := iot.ParseDevice(s); err != nil || id != want.id || key != want.key {
			t.Errorf("ParseDevice(%.40q) = %d, %.40q, %v; want %d, %.40q", s, id, key, err, want.id, want.key)
		}
	}
	for _, s := range []string{"", longest + "k", "\xff", "a\x00", "a\n", "\x7f", "\u0085"} {
		if id, key, err := iot.ParseDevice(s); !errors.Is(err, iot.ErrInvalid) {
			t.Errorf("ParseDevice(%.40q) = %d, %q, %v; want ErrInvalid", s, id, key, err)
		}
	}
}

// TestIdentity has properties of any device: its id is valid and exact in a float64, those of keys are the upper half
// of them, and what names it names it again.
func TestIdentity(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	for range 10_000 {
		name := strconv.FormatUint(r.Uint64()>>r.IntN(64), 10+r.IntN(27))
		id, key, err := iot.ParseDevice(name)
		if err != nil {
			t.Fatalf("seed %d: %q: %v", seed, name, err)
		}
		if !id.Valid() || iot.DeviceID(float64(id)) != id {
			t.Errorf("seed %d: %q has the id %d", seed, name, id)
		}
		switch key {
		case "":
			if id.String() != name {
				t.Errorf("seed %d: %q is taken as %d", seed, name, id)
			}
		case name:
			if id != iot.KeyID(key) || id < 1<<52 {
				t.Errorf("seed %d: %q has the id %d", seed, name, id)
			}
		default:
			t.Errorf("seed %d: %q has the key %q", seed, name, key)
		}
	}
}

func TestKeyIDAllocatesNothing(t *testing.T) {
	key := strings.Repeat("k", iot.MaxKeyBytes)
	if n := testing.AllocsPerRun(100, func() { iot.KeyID(key) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
