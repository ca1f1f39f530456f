// Package kafka is everything Telltale does with Kafka, over sarama: a producer that keeps order and
// never gives up, consumer groups that commit only what is done, and the topics themselves.
//
// Kafka is an address here, not an interface: the all-in-one binary and the tests start a broker that
// speaks the protocol (package embedded), and everything else is the same.
//
// When Kafka is away, nothing in this package fails: it waits, says so in its log and in Check, and goes
// on when Kafka is back. Errors are for what can never succeed.
package kafka
