// Package api is Telltale's HTTP interface: users and devices, readings on their way in, stored readings, and latest values.
//
// openapi.yaml is the contract, and routes.go the list of what is served. Each handler parses its request, asks
// a store, and encodes the answer. Reading the body before that and sending the answer
// after it is the same for all (request.go, answer.go). Errors travel as Go errors to one place, errors.go, that turns
// them into the statuses and bodies of Django REST framework, in which this API was first written and which its clients
// know.
//
// The package keeps no state of its own, so any number of replicas can run. While a store is away, what
// needs it answers 503 with Retry-After, everything else goes on, and GET /api/latest/{id}/ goes on from
// the stored readings when only the cache is away.
//
// # What is in memory
//
// What requests cost is bounded (limits.go); beyond the bounds the answer is 503, 429, 413 or 408, never a growing
// process. All together:
//
//	connections                            2,000, each with up to 32 KiB of headers; beyond, an idle one is closed (package httpguard)
//	requests to one store                  500; the store answers one within 5 s (TestRequestLimit), and one for a chart
//	                                       within 20 s, in which it never says nothing for 5 s (TestSlowHistory)
//	bodies of requests                     16 MiB, 1 MiB each, 10 s to arrive: before all else (TestBodiesInMemory,
//	                                       TestBodyLimit, TestSlowBodies); those in gzip count twice while they are
//	                                       decompressed (TestGzipBodies)
//	readings on their way to Kafka         what package ingest says
//	pages of readings being fetched        50,000 readings, or 11 pages of 4 MiB; others wait, small ones not behind
//	                                       large ones (TestRequestLimit, TestSmallPagesDoNotWait)
//	exports                                4 of 16 MB, 2 of one address; beyond 503 and 429; a client takes 10 KiB/s, but for two minutes,
//	                                       and the system keeps 128 KiB for it (TestExport, TestSlotsOfClients,
//	                                       TestPaceOfExports)
//	imports                                2 of 8 MB, 1 of one address; beyond 503 and 429; a client sends 10 KiB/s, but for two minutes
//	                                       (TestImport, TestSlotsOfClients, TestPaceOfImports)
//	streams of what happens                1,500, 1,000 of one address; beyond 503 and 429; one takes what package live says, and
//	                                       the system keeps 128 KiB for it (TestLiveLimits)
//	searches                               4, each with a page of 10,000 readings or 4 MiB; others wait (TestRequestLimit)
//	charts                                 1,700,000 numbers, and as many of the stored points that they are made of, about 90 MB;
//	                                       4,000,000 values being read one by one, of which those for percentiles take 8
//	                                       bytes each; others wait, small ones not behind large ones (TestRequestLimit,
//	                                       TestSmallPagesDoNotWait)
//	queries for Grafana                    4, of what package promql says; others wait (TestRequestLimit)
//	dry runs of retentions                 1, of what package series says; others wait (TestRequestLimit)
//	lists of users and devices             50,000 rows; others wait, as for pages (TestRequestLimit,
//	                                       TestSmallPagesDoNotWait)
//	pages of dead letters, traces          3, each of 4 MiB and up to six times as much as JSON; others wait
//	                                       (TestRequestLimit)
//	dead letters being replayed            4 requests, of 4 MiB each; others wait (TestRequestLimit); and what package
//	                                       replay says
//	tests of rules                         4 requests: a body, the rule and a step of its readings, about 8 MB each; others
//	                                       wait (TestRequestLimit)
//	what is ignored, what bridges saw,     what packages ignored, trace and system say
//	what services say
//	answers of MongoDB to these            16 MiB each
//	all latest readings, all counts        fetched once for all who ask at the same time (TestSharedAnswers)
//	compressors                            4, of about 1 MB; answers wait for one (TestGzip)
//	decompressors                          4, of about 40 kB; bodies wait for one
//	answers that clients have not taken    48 MiB, but for those under 64 KiB; 20 s to take one (TestSlowReaders)
package api
