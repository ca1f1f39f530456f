// Package history finds out, from outside, whether what a deployment answers about its readings is exact: it publishes
// readings whose stored content it knows (Load), reads them all back (Read), and computes from these by brute force what
// each other answer must be (Compare): series, aggregations, searches, exports and statistics.
//
//	stored = the readings published, each once, the first of those that contradict each other
//	every answer = the same, computed from the readings one by one
//
// Counts, minima, maxima, first and last values are compared bit for bit; sums and means within 1e-9 of the sum of all
// magnitudes, since their parts may be added in another order.
//
// What a retention removes is expected no more (Load.Expire), but what it comes to in charts stays the same to the bit (Charts).
//
// It knows nothing of how Telltale stores readings: neither of blocks nor of rollups.
package history
