// Package pipeline takes MQTT messages to Kafka: it decodes a message, produces its readings, and calls done. Sources
// hand messages to it; it knows nothing of MQTT.
//
// The readings of a message are produced to Kafka's topic, and what cannot be decoded to the dead-letter topic. When
// Kafka has acknowledged all records, done is called with nil. A record that is too large for Kafka becomes a dead
// letter, cut if need be. When Kafka refuses a record for good, done is called with an error. While Kafka is away done
// waits, for as long as it takes; what waits is bounded by the budget's share InFlight.
package pipeline
