// Package bridge is the service that takes readings from MQTT to Kafka.
//
// It has two sources. With Bridge.Listener it is the MQTT endpoint that devices connect to (listen.go,
// on mochi-mqtt); without, it subscribes to a broker (subscribe.go, on paho). Both hand each message to
// the same pipeline, which decodes it, sends its readings to Kafka and what it cannot read to the
// dead-letter topic, and acknowledges the message (PUBACK, PUBREC) when Kafka has acknowledged all of
// that. Acknowledgements go out in the order of receipt. The libraries speak the protocol; by themselves
// they acknowledge no reading that Kafka does not have.
//
//	device ── PUBLISH ──► conn ──► mochi or paho ──► pipeline ──► kafka.Producer
//	device ◄── PUBACK ─── conn ◄── line (in order of receipt) ◄───────┘
//
// What happens on failure:
//
//   - Kafka is away: acknowledgements wait, for as long as it takes. What waits is bounded (inFlightBytes).
//     A listening bridge stops reading from devices then; a subscribed one takes no more messages,
//     keeps its connection, and has the broker send them again later.
//   - A connection breaks: the peer sends again what was not acknowledged. What of that still waits for
//     Kafka is recognised; what had reached Kafka is there twice. Everything behind is made for that.
//   - The bridge stops: it takes nothing new, waits up to 5 s for Kafka, acknowledges, disconnects. What
//     is not acknowledged by then, the peer sends again.
//   - Kafka refuses a record for good: one that is too large goes to the dead-letter topic, cut if need
//     be; anything else breaks the connection, and the message, which is not acknowledged, comes again at
//     QoS 1 and 2. At QoS 0 it is lost, and counted as failed.
//
// It is not a broker: it keeps no messages, and forwards to clients that subscribe at QoS 0, for people
// who want to look. Whoever reaches the port can subscribe so to the readings of all devices, and publish
// as any of them. Keep strangers away from it: by the network, or by certificates that devices must have
// (MQTT_LISTEN_CLIENT_CA_FILE).
package bridge
