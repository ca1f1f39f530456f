// Package listen is the source to which devices connect themselves, by MQTT 3.1, 3.1.1 and 5.
//
// It is not a broker. It keeps no messages: one with RETAIN is taken as any other, and retained for nobody. It
// forwards messages to clients that subscribe, at QoS 0, for people who want to look; what these do not read in
// time is dropped for them. Shared subscriptions and identifiers of subscriptions are not offered.
//
// Where AUTH asks for credentials, a client gets in by those that package credentials knows, sends for its own devices, and
// subscribes to nothing, unless it is a viewer, which publishes nothing (access.go). Sessions belong to user name and client id
// together. Who is refused is told, and package refused tells operators. When credentials end, their connections do within
// 2 s. Where AUTH asks for none, whoever reaches the port can subscribe to the readings of all devices, and publish as any
// of them: keep strangers away from it by the network, or by certificates (MQTT_LISTEN_CLIENT_CA_FILE).
//
// MQTT over WebSocket has a port of its own, and is the same behind its handshake: a connection whose bytes are those of
// binary messages, wherever frames begin and end. TLS is that of the other port. A request has to name the subprotocol
// mqtt (or mqttv3.1), and by Host what package httpguard allows; a browser's page is refused unless it has the same origin.
//
// Whatever a client sends, what it takes of memory and time is bounded before it is allocated, and before
// anybody has proved who he is: limits.go has the limits. A client that goes beyond one gets a reason
// code of MQTT 5, or a return code of MQTT 3 where there is one; otherwise only its connection ends. Each
// limit is counted in telltale_bridge_refusals_total, and logged once a minute at most. A packet that
// makes the bridge panic ends its connection alone.
//
// Who got in by credentials has a rate (MQTT_DEVICE_RATE, rate.go). Who sends more is not refused: reading of it pauses, what is
// read is acknowledged, and trace tells people of it. A client that sends at QoS 0 for long fills the buffers of TCP, behind which
// its PINGREQ waits, too: it may take the connection for dead.
//
// A client that sends no more, and waits, still gets its acknowledgements. One that another connection with the
// same id replaces gets a DISCONNECT with the reason in MQTT 5; MQTT 3 has none. A will is published when its connection breaks
// or when its delay or session is over, and not when the bridge stops; where there is no room for it, it is
// dropped.
package listen
