package proxytest

import "testing"

// TestFreeAddrs: what one caller has, and does not listen on at the moment, no other is given.
func TestFreeAddrs(t *testing.T) {
	given := map[string]bool{}
	for range 2 {
		addrs, err := FreeAddrs(400)
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range addrs {
			if given[addr] {
				t.Error(addr, "is given twice")
			}
			given[addr] = true
		}
	}
}
