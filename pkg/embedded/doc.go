// Package embedded is a Kafka-protocol broker in this process: for the all-in-one binary and for tests.
//
// It is kfake of franz-go with a directory, and with what that lacks as a place to keep things. It is one broker
// without replicas and without transactions, and does not know message.timestamp.type: records have the time that
// their producers say, which are services of this process as long as nobody else may write.
//
// # What it keeps
//
// A response that says anything about the log leaves this process when everything that was written before it
// is synced to disk: records are acknowledged, and consumers get to see them, when a power cut cannot take
// them any more. Whoever waits is served together, by one round of syncs (disk). A batch is acknowledged when
// it was read back out of its file (tail), not because kfake says so.
//
// Records are read from disk; in memory is an index of some 100 bytes per batch. A start reads the whole log
// through once, a segment at a time, so MaxBytes bounds how long that takes.
//
// # What happens on failure
//
//   - A write or a sync fails: nothing is acknowledged or served any more, Check and Wait say which file it was.
//     The process has to end; what was not synced is cut off, and the next start reads what the disk has. So does
//     a start after any end but a good one, past the page cache, which shows what a failed sync has lost (on Linux).
//   - The disk is full: batches are refused and sent again by their producers, until there is space. What
//     was acknowledged is not touched. A disk that says so only at the sync is the case above.
//   - The process is killed, or the power is: a start cuts off what was half-written at the end.
//   - A bit has flipped on the disk: a start names the file in the log and in State, keeps a copy of it
//     (….damaged) and serves what is whole: the records of the damaged batch are lost, and only they. The
//     same in a journal of offsets has the group read again from what it committed before. Found while
//     running, it is named by Check, and the partition is served up to there, the others as ever.
//   - The retention waits for a group of ours that has not read, or not even begun: the log says for which.
//
// # Who may do what
//
// Dial is for the services of this process, and may do everything. A client that comes over TCP reads, and joins and
// commits for groups that are not Groups. With Writes it also produces, and makes and deletes topics. Where Account says who it
// is, it does so in groups that are called as it is, and keeps off Internal topics, unless it may do everything. What it
// asks beyond that is answered with Kafka's error, counted by reason, and logged once a minute. No bytes reach kfake
// that are not a whole request of an offered kind.
//
// # Buffers
//
//   - Connections from outside: 32. One may be silent for 10 minutes, in the middle of a request for 30 s.
//   - A request from outside: 64 KiB, with Writes 16 MiB; of all connections together: 64 MiB.
//   - A response with records to a client from outside: 256 KiB, or one batch, of which
//     each connection keeps the memory; 8 of them at a time.
//   - Groups from outside: 100, with 32 members each, whose requests to join have 16 KiB.
//     Beyond 50, those without members go that have not committed for longest.
//   - A partition's tail: 1,024 checksums.
package embedded
