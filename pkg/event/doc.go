// Package event is the event contract as Go: readings and dead letters to Kafka records and back. It is
// the only package that knows the protobuf types.
//
// Decoding never fails as a whole: what is wrong with a record comes back as a rejection beside the
// readings of its neighbours. Sink sends such a record to the dead-letter topic before its offset is committed.
//
// What is small on a topic can be large in memory: `[1,1,…]` is two bytes for each dead letter. A batch is therefore
// decoded and handled a slice at a time: of each partition no more is in memory than 2 MiB of readings and dead letters,
// the one step of a Decoder that goes beyond them, and 1 MiB of dead letters on their way to Kafka (TestSliceMemory). A
// step is one reading or a thousand, and what 64 KiB of JSON became. The longest reading, of 4 MiB of names and values
// (iot.MaxContentBytes), takes some 12 MiB.
//
// The protobuf is read and written by hand, field by field: that takes half the time of the generated code
// and one allocation instead of six or more, and tests compare the two byte by byte. Fields that a
// later version adds are passed over.
package event
