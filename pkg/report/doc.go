// Package report has each process say, on a compacted topic of Kafka's, which services it runs and how they are: version,
// readiness, what they count, how far they are behind, what their stores take. query-api reads it, and so knows all services
// of a cluster without calling one (package query-api/system).
//
// The figures are those of /metrics, of the same moment. A report takes the place of the one before. A process that ends in
// order says farewell; one that does not falls silent.
//
// It is a help, and nothing waits for it. Package compacted says what happens while Kafka is away.
//
// # What is in memory
//
// Of each service, its last report, and the counts of half a minute (TestReports); and what package compacted says.
package report
