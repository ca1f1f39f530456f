// Package pipeline is the way from an MQTT message to Kafka: decode, produce, done. Sources hand messages to
// it; it knows nothing of MQTT.
//
// A message's readings go to Kafka's topic, what cannot be read goes to the dead-letter topic, and when Kafka
// has acknowledged all of it, done is called with nil. A record that is too large for Kafka becomes a dead
// letter, cut if need be. What Kafka refuses for good makes done an error. While Kafka is away done waits, for
// as long as it takes; what waits is bounded by the budget's share InFlight.
package pipeline
