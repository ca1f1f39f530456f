// Package event is the event contract as Go: readings and dead letters to Kafka records and back. It is
// the only package that knows the protobuf types.
//
// Decoding never fails as a whole: what is wrong with a record comes back as a rejection beside the
// readings of its neighbours, and Sink sees to it that such a record ends in the dead-letter topic before
// its offset is committed.
//
// The protobuf is read and written by hand, field by field: that takes half the time of the generated code
// and one allocation instead of six or more, and the tests hold the two together byte by byte. Fields that a
// later version adds are passed over.
package event
