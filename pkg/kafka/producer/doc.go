// Package producer sends records to Kafka: in the order of each key, once, and without ever giving up.
//
// A batch stays at the head of its partition's queue until the broker has acknowledged it, and is retried unchanged,
// under the same sequence numbers. Errors of single records alone are permanent (too large, invalid); everything else
// is retried for as long as an outage lasts. Metadata is requested once a second, so that Check fails when Kafka
// hangs, or has lost a topic, also while nothing is being sent.
//
//	producer.go   what callers see
//	sender.go     the one goroutine of Run, which owns all state
//	metadata.go   requests for leaders, and for the producer id
//	partition.go  the queue of a partition, and the batch at its head
//	batch.go      records as sarama encodes them
//	request.go    produce requests, and what follows from their responses
//
// # Why not sarama's AsyncProducer
//
// It was measured behind the same Produce, idempotent, with one open request and 100,000 retries, against the tests of
// this package (ADR 0100 has the figures). It fails records, and lets later ones of the same key pass them, when a
// broker answers with an error that is not on its list of eight; fails all records of a batch when one is too large
// or invalid; stops for all brokers when one hangs; and cannot retry without end, since it allocates its state per
// possible retry. It takes three times the CPU and twice the memory; a whole bridge takes 1.2 to 1.5 times the CPU.
//
// # What is in memory
//
//	the records that wait for Kafka   what callers have in flight: they bound it
//	a produce request to a broker     16 MiB, beside the records in it; one per broker
//	a buffer that is used again       4,096 records of each partition, and of Produce
package producer
