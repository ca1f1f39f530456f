// Package rollup makes buckets of samples: what the values of one metric of one device come to in a span of time.
//
// Buckets merge. There is one level that is stored, the quarter of an hour, and a Day of them for each device: hours,
// days and months in any time zone are made of quarters when somebody asks, since the clocks of all zones differ from
// UTC by whole quarters. Count, Min, Max, First and Last are exact, whatever was merged in which order; Sum is added
// in the order of time within a quarter, and its last digits depend on what is merged of it. A sum that overflows is
// infinite, or not a number where an infinite one of each sign were merged.
//
//   - An Interval is a length of buckets, and its Grid the buckets of a time zone; LoadZone finds that.
//   - AppendSamples and AppendBuckets make buckets of a Grid, of samples and of finer buckets.
//   - A Span collects the quarters of the readings of a device.
//   - A Day has the quarters of one device and UTC day, and an encoding (see format.md); Reader reads it metric by metric.
//
// # How a stored day is kept right
//
// Replace is for who knows all readings of whole quarters: it puts what they come to in place of what was there. It
// may be repeated, and does what a rebuild does; a store that cannot change readings and days in one transaction uses
// nothing else.
//
// Merge is for who knows some readings of a quarter, all of them in no stored quarter yet. Done twice it counts them
// twice: so it belongs into the transaction that marks these readings as rolled up. Nothing can be taken out of a
// bucket again: when a reading changes or goes, its quarter is replaced, by what all others come to.
//
// # What it is not
//
// It reads and writes no store, and knows nothing of retention. Percentiles need samples: buckets have none.
//
// A Grid and a Reader are for one goroutine at a time. Decoding takes memory in proportion to the metrics that
// data names, 7 kB at most for each that is read.
package rollup
