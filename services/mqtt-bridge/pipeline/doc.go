// Package pipeline takes MQTT messages to Kafka: it decodes a message by the rule for its topic, produces its readings, and
// calls done. Sources hand messages to it; it knows nothing of MQTT. A message on a topic that nobody reads is ignored: it is
// done at once, and package ignored lists it.
//
// The readings of a message are produced to Kafka's topic, and what cannot be decoded to the dead-letter topic. When
// Kafka has acknowledged all records, done is called with nil. A record that is too large for Kafka becomes a dead
// letter, cut if need be. When Kafka refuses a record for good, done is called with an error. While Kafka is away done
// waits, for as long as it takes; what waits is bounded by the budget's share InFlight. The last message that it has room for
// may go beyond that by what it becomes: some 45 MiB of records where it is 1 MB of nested names, and a part of that, the
// window, where its source may be kept waiting.
package pipeline
