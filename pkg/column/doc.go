// Package column is the format of sealed blocks: the readings of one device over a span of time, column by column and
// compressed. It knows nothing of where blocks are kept.
//
// A block loses nothing: every bit of every float64, the readings' keys, stamps, origins and what their devices said,
// and where a reading was moved from. Only Reading.Times, which no store keeps, is not in it. Columns are decoded
// when they are asked for, so that a chart reads the times and one metric.
//
// # Layout
//
// Integers are varints of encoding/binary; "signed" are its zigzag varints.
//
//	offset  bytes
//	0       1       version: 1
//	1       4       CRC-32C, little-endian, of the version and of all that follows. So it is in every version
//	5               device, rows, metrics, attributes: their numbers
//	                columns: the length of each, in the order below
//	                frames: of each, how many columns it has, and its length; 0 where it is not compressed
//	                frames, one after the other: the bytes of their columns, compressed with zstd
//
// Columns, one after the other, are cut into frames of at least minFrame bytes: those of a small block share one, those
// of a large one are read alone.
//
//	column      content
//	names       of the metrics, then of the attributes, ascending: 0 is temperature, 1 is humidity, others are their length
//	            plus 1, and their bytes
//	times       integers: At in ms. They ascend
//	metrics     a column for each: see below
//	received    integers: Received less At
//	stamped     integers
//	moved from  integers: MovedFrom relative to At
//	origin      integers: Origin relative to MovedFrom, or to At where that is 0
//	key         text
//	said        text
//	attributes  text, a column for each
//
// Relative is the difference, except that no value, which is 0, is 0. A column of integers that are all 0, and one of
// text that no row has, is empty.
//
//	integers    coding, base; then for each: nothing (constant), the signed difference to the base (offset), the signed
//	            difference of base and the difference to the one before (delta; the first one is told by its
//	            difference to 0), or 8 bytes, little-endian (fixed; there is no base)
//	text        how many texts, their lengths, their bytes; then runs: what (0 nothing, 1 the next text that had no run
//	            yet, else the number of a text plus 2), and of how many rows
//	metric      flags; where some rows have none: runs, of rows without and of rows with one by turns; the values of the others
//	values      decimal: exponent; where there are any, exceptions: how many, and of each how many values are between it and
//	            the one before, and its 8 bytes; integers, each the value times 10 to that power.
//	            Or raw: how the bits of the value differ from those before, as a signed integer; the first byte of all, then the second…
//
// A summary has version and checksum too, then a frame of its own: its length, or 0 where it is not compressed; device, rows,
// first and last time, 1 where there are attributes else 0; then of each metric the name, the least and the greatest value,
// as an exponent and an integer, or as 23 and 8 bytes.
//
// Decimal are values that come back to the bit from their integer: what was read from up to 15 digits, or (in a form of
// its own) from a float32 of some 7.
//
// # Failure
//
// A block whose checksum is another, or which does not add up, is ErrDamaged, and never read wrongly. One of an unknown
// version is ErrVersion. An Encode of more than a block can have is ErrTooLarge: its readings are to be put into two.
//
// # Memory
//
// A block has at most MaxRows rows, maxMembers metrics and attributes, maxCells cells (rows times these) and maxColumnBytes
// bytes in its columns. No bytes make a Block take more than 96 MiB (TestHostileBlocks). An ordinary one of an
// hour at 1 Hz takes 0.2 MiB. Encoders that are not in use are kept until the next garbage collection; zstd keeps one
// encoder of 0.7 MiB, and at most four decoders of 0.2 MiB.
package column
