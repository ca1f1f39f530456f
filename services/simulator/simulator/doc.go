// Package simulator is a fleet of devices that publish readings over MQTT 3.1.1 at QoS 1: to try Telltale
// out, to load it, and to find out whether it loses anything.
//
// The load is open: a reading is due at its time whether or not the broker keeps up. What the broker is
// slow to take is published late, under the time at which it was measured, and the latency counts from
// that time; nothing is left out, so a slow broker shows in the figures instead of hiding in them.
//
// A device publishes in Telltale's own form, or as a device of one of the families that Telltale reads does, with made-up
// values (Config.Families). Those of some families have no clock, or one of whole seconds.
//
// When a connection is lost, its devices go on measuring. After the reconnect everything that was not
// acknowledged is sent again in its order, byte for byte, with the same packet ids and DUP set, and then
// what was measured meanwhile. The MQTT client is our own and not a library's, for two reasons.
// paho.mqtt.golang reports a publish as complete, without an error, when it resends it after a reconnect,
// before any acknowledgement: a ledger on top of it would hold readings that nobody took. And a load
// generator that runs beside what it measures must cost little; this one publishes over 100,000 messages
// per second of CPU time.
//
// The ledger (see Config.Ledger) is a file of JSON lines:
//
//	{"event":"sent","reading":{"device_id":7,"temperature":21.52,"humidity":48.1,"timestamp":"2026-03-01T12:00:00.000Z"}}
//	{"event":"acknowledged","reading":{ … the same … }}
//
// "sent" is in the file before the first byte goes to the network, "acknowledged" after the PUBACK has
// arrived: whatever is killed when, acknowledged ⊆ stored ⊆ sent holds for a system that loses and invents
// nothing. Junk is not in it, and what other families publish neither. Package deploy/acceptance/ledger checks a ledger against the HTTP API.
package simulator
