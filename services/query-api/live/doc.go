// Package live tells clients what happens, as it happens: readings and dead letters from Kafka's log, and what changes of
// devices.
//
// A Hub follows the two topics while somebody listens, in no consumer group. Each record is decoded once and each event
// encoded once, for all clients; what they have in common is kept in a ring of chunks (feed.go), of which each client takes
// what it asked for at its own pace (listener.go). The id of an event is a place: which topics, and an offset for each of their
// partitions (place.go). So a client that comes back, to whichever replica and whenever, has what it missed read for it from
// the log up to where the feed is, and joins there: nothing is missed, and nothing comes twice. Places differ between replicas
// in how far each partition is; one who comes with a place that is ahead of the feed is told of nothing until the feed is
// there, partition by partition. Where the log does not reach back, or the topics are others than those, the client gets one
// event `resync`, and what comes from now on.
//
// Devices have no log. One look for all clients compares them with what they were a second ago, and a place has a
// fingerprint of what they are like. Who comes back with another one gets all of his devices; which were deleted meanwhile nobody can
// tell.
//
// # On failure
//
// While Kafka is away clients keep their connections and get heartbeats, and go on by themselves when it is back. One that
// comes while it cannot be said where the log ends gets ErrAway. While the devices cannot be looked up there are no events of
// them. A client that is overtaken by the ring is cut off at once, comes back, and reads the log; it delays nobody.
//
// That topics were made again shows within a second: a client that reads the log may get some of the new readings before its
// `resync`.
//
// # What is in memory
//
//	the ring                       8 MiB and one chunk, of 128 KiB or one event (TestMemory)
//	each client                    16 KiB, or one event, on its way; beside what the server needs for it
//	clients that get their devices 16 at a time, half of them from one network: a page of 1,000 devices
//	clients that read the log      16 at a time, half of them from one network, 5 s each: what a RangeReader of 4 partitions
//	                               at a time has, and a chunk
//	each device                    16 bytes, twice while they are looked at; a page of 1,000
package live
