package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
)

// printBanner prints where everything is, with commands to copy.
func printBanner(w io.Writer, components *components, mqttURL string) {
	api := components.apiURL()
	host, port := "", ""
	if components.mqtt != nil {
		host, port, _ = net.SplitHostPort(reachable(components.mqtt.Addr())) // the address of a listener has both
	} else if u, err := url.Parse(mqttURL); err == nil {
		host, port = u.Hostname(), u.Port()
	}
	port = cmp.Or(port, "1883")
	_, _ = fmt.Fprintf(w, `
Telltale is running; Ctrl-C stops it.

  devices   %[1]s/ in a browser
  API       %[1]s/api/docs/ to try out

  publish   mosquitto_pub -h %[2]s -p %[3]s -q 1 -t sensors/data -m '{"device_id": 42, "temperature": 21.5, "humidity": 40}'
  or, where there is no mosquitto_pub:
            go run ./services/simulator --mqtt-url tcp://%[4]s --first-device 42 --devices 1 --count 1
  read      curl -sf --retry 5 --retry-all-errors %[1]s/api/devices/42/latest/
%[5]s
`, api, host, port, net.JoinHostPort(host, port), forOthers(components))
}

// forOthers lists what other machines of the network can reach, or is empty.
func forOthers(components *components) string {
	list := ""
	if addr := fromOutside(components.http); addr != "" {
		list += "  a phone   http://" + addr + "/\n"
	}
	if addr := fromOutside(components.mqtt); addr != "" {
		list += "  a device  mqtt://" + addr + ", topic sensors/{id}/data\n"
	}
	if list == "" {
		return ""
	}
	return "\nOn this network, where everyone may publish and read:\n\n" + list
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
