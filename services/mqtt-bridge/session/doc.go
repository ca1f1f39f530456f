// Package session keeps the in-flight window of an MQTT session: which messages were received, in which order, and
// which of them may be acknowledged.
//
// Messages are acknowledged in the order of their receipt, whatever the order of Kafka's acknowledgements. A session
// outlives its connections. A client that connects again sends again what was not acknowledged. What of that still
// waits for Kafka is recognised as a redelivery, and is not produced a second time: otherwise each reconnect during an
// outage of Kafka would add a copy of everything.
//
// A message that failed is not acknowledged. Its connection is closed, so that it is redelivered.
package session
