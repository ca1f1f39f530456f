package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/telltale-iot/telltale/pkg/daemon"
	"github.com/telltale-iot/telltale/pkg/iot"
	"github.com/telltale-iot/telltale/services/query-api/newcredential"
)

// welcome says where everything is, once all runs, and what the first start shows once.
func (c *command) welcome(ctx context.Context, p *daemon.Process, components *components, first *first) {
	if daemon.Await(ctx, p.Log, "the first admin", func(ctx context.Context) error { return first.makeAdmin(ctx, components.metadata) }) != nil {
		return // it stops
	}
	if first.hidden {
		p.Log.Warn("nobody has credentials yet, and they would be printed where nobody reads them: all-in-one token create --role=admin makes a token")
	}
	if err := printBanner(os.Stdout, components, c.MQTTURL, first); err != nil && first.secrets != (secrets{}) {
		p.Log.Warn("the first credentials could not be printed: all-in-one token create --role=admin makes a token", "err", err)
	}
}

// printBanner prints where everything is, with commands to copy.
func printBanner(w io.Writer, components *components, mqttURL string, first *first) error {
	api := components.apiURL()
	host, port := "", ""
	if components.mqtt != nil {
		host, port, _ = net.SplitHostPort(reachable(components.mqtt.Addr())) // the address of a listener has both
	} else if u, err := url.Parse(mqttURL); err == nil {
		host, port = u.Hostname(), u.Port()
	}
	port = cmp.Or(port, "1883")
	curlTrusts, mosquittoTrusts := components.trust()

	var b strings.Builder
	fmt.Fprintf(&b, "\nTelltale is running; Ctrl-C stops it.\n\n  devices   %[1]s/ in a browser%[2]s\n  API       %[1]s/api/docs/ to try out\n\n", api, first.logIn())
	device, userPassword, data := "42", "", `{"temperature": 21.5, "humidity": 40}`
	if first.mqtt {
		device = firstDevice
		userPassword = " -u " + firstDevice + " -P " + cmp.Or(first.secrets.device, "PASSWORD")
		data = `{"temperature": 21.5}`
	}
	fmt.Fprintf(&b, "  publish   mosquitto_pub%s -h %s -p %s%s -q 1 -t sensors/%s/data -m '%s'\n", mosquittoTrusts, host, port, userPassword, device, data)
	if !first.mqtt && components.mqttTLS == nil {
		fmt.Fprintf(&b, "  or, where there is no mosquitto_pub:\n"+
			"            go run ./services/simulator --mqtt-url tcp://%s --first-device 42 --devices 1 --count 1\n", net.JoinHostPort(host, port))
	}
	bearer := ""
	if first.http {
		bearer = " -H 'Authorization: Bearer " + cmp.Or(first.secrets.token, "TOKEN") + "'"
	}
	fmt.Fprintf(&b, "  read      curl -sf%s%s --retry 5 --retry-all-errors %s/api/devices/%s/latest/\n", curlTrusts, bearer, api, device)
	if first.secrets != (secrets{}) {
		b.WriteString("\nThe passwords and the token are shown this once, and kept as hashes alone: note them down.\n")
	}
	if a := components.authority; a != nil {
		fmt.Fprintf(&b, "\nWhoever connects has to trust this authority, as these commands do; browsers show its fingerprint:\n\n  file      %s\n  SHA-256   %s\n", a.CAFile(), a.Fingerprint())
	}
	b.WriteString(forOthers(components, first) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// logIn says how somebody logs in.
func (f *first) logIn() string {
	switch {
	case f.secrets.password != "":
		return ": log in as " + iot.AdminUsername + " with the password " + f.secrets.password
	case f.http:
		return ", where you log in"
	}
	return ""
}

// trust is what curl and mosquitto_pub need to trust the certificates.
func (p *components) trust() (curl, mosquitto string) {
	ca := ""
	if p.authority != nil {
		ca = newcredential.ShellQuoted(p.authority.CAFile())
	}
	if p.httpTLS != nil && ca != "" {
		curl = " --cacert " + ca
	}
	switch {
	case p.mqttTLS != nil && ca != "":
		mosquitto = " --cafile " + ca
	case p.mqttTLS != nil:
		mosquitto = " --tls-use-os-certs"
	}
	return curl, mosquitto
}

// forOthers lists what other machines of the network can reach, or is empty.
func forOthers(components *components, first *first) string {
	list := ""
	if addr := fromOutside(components.http); addr != "" {
		list += "  a phone   " + scheme("http", components.httpTLS != nil) + addr + "/\n"
	}
	if addr := fromOutside(components.mqtt); addr != "" {
		list += "  a device  " + scheme("mqtt", components.mqttTLS != nil) + addr + ", topic sensors/{id}/data\n"
	}
	switch {
	case list == "":
		return ""
	case first.http && first.mqtt:
		return "\nOn this network:\n\n" + list
	case first.http:
		return "\nOn this network, where every device may publish:\n\n" + list
	case first.mqtt:
		return "\nOn this network, where everyone may read:\n\n" + list
	}
	return "\nOn this network, where everyone may publish and read:\n\n" + list
}

// scheme is the beginning of a URL.
func scheme(name string, secured bool) string {
	if secured {
		name += "s"
	}
	return name + "://"
}

// fromOutside is the address at which other machines reach l, or "" when l is not open to them or this machine has
// no network.
func fromOutside(l net.Listener) string {
	if l == nil {
		return ""
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok || addr.IP.IsLoopback() {
		return ""
	}
	ip := addr.IP
	if ip.IsUnspecified() {
		// The address that packets to elsewhere would come from. None is sent: 192.0.2.1 is nobody's (RFC 5737).
		conn, err := net.Dial("udp4", "192.0.2.1:9")
		if err != nil {
			return ""
		}
		defer conn.Close()
		ip = conn.LocalAddr().(*net.UDPAddr).IP
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(addr.Port))
}

// reachable is a listener's address as a client on this machine can use it.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
