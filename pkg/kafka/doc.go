// Package kafka is what Telltale does with Kafka, over sarama: consumer groups that commit only what is resolved, and
// the topics themselves. Package producer, below it, sends records.
//
// Kafka is an address here, not an interface: the all-in-one binary and the tests start a broker that
// speaks the protocol (package embedded), and everything else is the same.
//
// When Kafka is away, nothing in this package fails: it waits, says so in its log and in Check, and goes on when Kafka
// is back. Errors are for what can never succeed. A broker that hangs is a broker that is away: every call has a
// timeout (package timeouts), and Check fails within 5 s. Topics that go missing, deleted or lost with Kafka's disk, are
// created again after 5 s by every producer and consumer of them (topics.go); a consumer distinguishes a new topic
// from the old one of its name by the topic id that it commits beside each offset (session.go).
//
// The consumer is sarama's consumer group: consumer.go is its life, session.go a membership, assignment.go the
// consumption of one partition, poll.go what is asked of Kafka beside that. Without a group range.go reads records again,
// and follow.go those that come; examine.go is for doctors. The producer is a package of its own, and our own: its page says why.
//
// # What is in memory
//
//	of each partition that is consumed    two batches, each of 1 MiB and one record, or of GroupConfig.MaxBatch records;
//	                                      and what was fetched before the second: two responses, each with 256 KiB or
//	                                      one record of it (TestMemoryWhileNothingIsHandled, TestMemoryOfFetches)
//	of each partition of a RangeReader    one batch, and two responses (TestRangeReader); of a Follower likewise
//	of each broker                        a response of 2 MiB, or of one record; it is in memory whole while one of its
//	                                      records is
package kafka
