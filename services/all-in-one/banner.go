package main

import (
	"fmt"
	"io"
	"net"
	"net/url"
)

// printBanner tells a person where everything is, with commands to copy.
func printBanner(w io.Writer, parts *parts, mqttURL string) {
	api := "http://" + reachable(parts.http.Addr())
	host, port := "", ""
	if parts.mqtt != nil {
		host, port, _ = net.SplitHostPort(reachable(parts.mqtt.Addr())) // an address of a listener has both
	} else if u, err := url.Parse(mqttURL); err == nil {
		host, port = u.Hostname(), u.Port()
	}
	if port == "" {
		port = "1883"
	}
	_, _ = fmt.Fprintf(w, `
Telltale is running; Ctrl-C stops it.

  API       %[1]s/api/readings/latest_all/
  in a browser, to try out:
            %[1]s/api/docs/

  publish   mosquitto_pub -h %[2]s -p %[3]s -q 1 -t sensors/data -m '{"device_id": 42, "temperature": 21.5, "humidity": 40}'
  or, where there is no mosquitto_pub:
            go run ./services/simulator --mqtt-url tcp://%[4]s --first-device 42 --devices 1 --count 1
  read      curl %[1]s/api/devices/42/readings/

`, api, host, port, net.JoinHostPort(host, port))
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
