// Package examples runs the programs in the folder examples, as devices of an all-in-one that is stopped and started
// again: they connect again, and every reading that they have measured is stored once, with its time. Then it exports these
// as the README says, and has pandas, PyArrow and DuckDB read the files. Its tests need
// mosquitto_pub, curl, Node.js, Python, and TEST_EXAMPLES=1; `make examples` installs what they import.
//
// MicroPython is the real one, built for Linux. What only boards have (network, ntptime) is in testdata, and so is a
// stand-in for umqtt.simple, which no package registry has: three methods, which do what those of umqtt.simple do.
// The sketch for the ESP32 is not run: its compiler comes from no package registry either.
package examples
