// Package kafka is everything Telltale does with Kafka, over sarama: a producer that keeps order and
// never gives up, consumer groups that commit only what is done, and the topics themselves.
//
// Kafka is an address here, not an interface: the all-in-one binary and the tests start a broker that
// speaks the protocol (package embedded), and everything else is the same.
//
// When Kafka is away, nothing in this package fails: it waits, says so in its log and in Check, and goes
// on when Kafka is back. Errors are for what can never succeed. A broker that hangs is a broker that is
// away: every call has its time, and Check tells within 5 s. Topics that go missing, deleted or lost with Kafka's
// disk, are made again after 5 s by every producer and consumer of them (topics.go); a consumer knows a new topic
// from the old one of its name by the topic id that it commits beside each offset (session.go).
//
// The producer is our own, on sarama's client and protocol: sender.go is its one goroutine, partition.go
// what it knows of a partition, request.go how batches go out and what becomes of them, lookup.go how it
// finds the brokers. sarama's AsyncProducer passes every message through several channels, for four times
// the CPU; gives up after so many retries; and may then deliver later records of a key before earlier ones.
//
// The consumer is sarama's consumer group: consumer.go is its life, session.go a membership, claim.go the
// consumption of one partition.
//
// # What is in memory
//
//	of each partition that is consumed    two batches, each of 1 MiB and one record, or of GroupConfig.MaxBatch records;
//	                                      and what was on its way before the second: two answers, each with 512 KiB or
//	                                      one record of it (TestMemoryWhileNothingIsHandled)
//	of each partition of a RangeReader    one batch, and two answers (TestRangeReader)
//	of each broker                        an answer of 8 MiB
//	the records that wait for Kafka       what the callers of Produce leave in it: they bound it
//	a request to Kafka                    16 MiB, beside the records in it
package kafka
