// Package trace keeps what the bridge saw of devices and clients, for people who ask why a device does not appear: the last
// message of a device, and the last connection of a client. It tells Kafka's topic of that, from which query-api answers.
//
// Devices and clients are in 64 parts, each a record of its own. What is new (a device, its topic, its client, what became of
// its message; a connection or its end) is told within some 2 s; that things went on as before once a minute; and all of it
// every 10 minutes, since who reads the topic looks back no further than event.SeenFor. Four records a second at most are told:
// all parts within 16 s.
//
// It is a help, and nothing waits for it (package compacted). What was seen longest ago is forgotten when there is no room,
// clients that have left first; and all is when the process starts.
//
// # What is in memory
//
// 1 MiB for devices and 1 MiB for clients, some 4,000 of each, whatever strangers publish: texts are cut, and copied, so
// that none keeps the packet that it came in (TestBounds).
package trace
