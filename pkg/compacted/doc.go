// Package compacted carries what people may want to see from one service to another, on a topic of one partition where the
// last record of a key counts. A Teller tells of what changes, and a Table reads it when somebody asks.
//
// It is a help, and nothing waits for it: a Teller has a producer of its own, which begins with the first thing to tell, and
// what Kafka does not take while it is away is told later. Asking a Table fails then; what was read before is kept.
//
// # What is in memory
//
//	records that Kafka has not answered for   256 KiB and what is told at once   TestTellerBounds
//	what a Table has read                     what its owner says, in bytes      TestTableBounds
//	a Table while it reads                    500 records, or 4 MiB
package compacted
