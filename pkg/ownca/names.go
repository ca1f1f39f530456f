package ownca

import (
	"crypto/x509"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
)

// MaxNames is how many names and addresses a certificate is for: a machine that runs containers has many addresses.
const MaxNames = 100

// names are what a certificate is for.
type names struct {
	dns []string
	ips []net.IP
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

// names returns those of this machine. Those that somebody has named come first.
func (a *Authority) names() (names, error) {
	var n names
	n.add("localhost")
	for _, host := range a.hosts {
		n.add(strings.TrimSuffix(host, "."))
	}
	for _, host := range MachineNames() {
		n.add(host)
	}
	addrs, err := a.interfaces()
	if err != nil {
		return names{}, err
	}
	for _, addr := range addrs {
		// One of IPv6 that counts on one link alone stands in no URL, and each container has another.
		if of, ok := addr.(*net.IPNet); ok && (of.IP.To4() != nil || !of.IP.IsLinkLocalUnicast()) {
			n.addIP(of.IP)
		}
	}
	return n, nil
}

// MachineNames returns the names of this machine: its own and, where that is no domain's, the one by multicast DNS.
func MachineNames() []string {
	host, err := os.Hostname()
	switch {
	case err != nil:
		return nil
	case strings.Contains(host, "."):
		return []string{host}
	}
	return []string{host, host + ".local"}
}

// add adds a name, or an address.
func (n *names) add(host string) {
	if ip := net.ParseIP(host); ip != nil {
		n.addIP(ip)
		return
	}
	host = strings.ToLower(host)
	if hostName.MatchString(host) && !slices.Contains(n.dns, host) && n.room() {
		n.dns = append(n.dns, host)
	}
}

func (n *names) addIP(ip net.IP) {
	if !slices.ContainsFunc(n.ips, ip.Equal) && n.room() {
		n.ips = append(n.ips, ip)
	}
}

func (n *names) room() bool { return len(n.dns)+len(n.ips) < MaxNames }

// within reports whether cert is for all of them.
func (n *names) within(cert *x509.Certificate) bool {
	for _, name := range n.dns {
		if !slices.Contains(cert.DNSNames, name) {
			return false
		}
	}
	for _, ip := range n.ips {
		if !slices.ContainsFunc(cert.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}
