package auth

import "testing"

func TestNetworks(t *testing.T) {
	networks, err := ParseNetworks([]string{"10.1.2.3/16", "192.0.2.7", "2001:db8::/32", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"10.1.255.255": true, "10.2.0.0": false, "192.0.2.7": true, "192.0.2.8": false, "::ffff:192.0.2.7": true,
		"2001:db8::7": true, "2001:db9::": false, "::1": true, "fe80::1%eth0": false, "": false, "example.com": false,
	} {
		if networks.Contain(address) != want {
			t.Errorf("%s is in them: %v", address, !want)
		}
	}
	if Networks(nil).Contain("192.0.2.7") {
		t.Error("no network contains an address")
	}
	for _, text := range []string{"", "10.1", "example.com", "10.1.2.3/33"} {
		if _, err := ParseNetworks([]string{text}); err == nil {
			t.Errorf("%q is a network", text)
		}
	}
}
