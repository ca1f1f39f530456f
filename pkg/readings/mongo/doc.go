// Package mongo keeps readings in a MongoDB collection, readings, which other programs may read too: one
// document per reading, with the fields that Telltale's contract lists.
//
// A reading counts as stored when a majority of the replica set has it in its journal. While the server is
// away or does not answer a call fails after 5 s, or what timeoutMS in the URI says, and may be repeated: the
// unique index on device and time keeps readings from being stored twice. The driver reconnects by itself.
//
// A collection may lose its indexes while it is in use: dropped, lost with the server's disk, restored without
// them. Therefore nothing is inserted unless the unique ones were there a moment ago, nor after a failure before
// they were looked at. Repair is for a collection that holds readings twice, in which they cannot be made.
//
// # Rollups
//
// Charts and counts are made of readings_days: a document for each device and day of UTC, with package rollup's Day. It
// is never added to, since a bulk write without an answer does not say what it has added. It is computed anew, an hour or
// more at a time, from the readings, which alone are the truth:
//
//   - The progress, a document in readings_dirty, says which hours are rolled up: those from since to until. An hour is
//     computed for all devices 10 minutes after its end, and until goes on; what was there before there were rollups is
//     computed from new to old, and since goes back. All other hours are read from the readings.
//   - InsertReadings marks, in readings_dirty, each hour before closing of which it has, or may have, changed anything:
//     those of duplicates too, since whoever stored them may have crashed before it marked them. It does so behind the
//     insert and before it returns, so that Kafka's offset is committed behind the mark. closing is 5 minutes ahead of what
//     is computed, and inserts know it as it was a minute ago at most: so an insert that does not mark an hour has
//     ended before that is computed. Hours close by the server's clock; no two clocks are compared.
//   - Whoever computes marked hours reads the marks, then the days, then the readings; replaces the days if they are what
//     it has read; and removes the marks if they are. Each version is an id that never comes again: were it a counter, a
//     mark that was removed and made again would look the same. So of any number of them, killed anywhere, none leaves
//     an older result or removes a mark of what it has not seen.
//   - A reader reads the progress, then the marks, then the days, and the readings of hours that are marked or not rolled
//     up. An hour without a mark has all in its day that was acknowledged before the marks were read, however often it
//     is computed meanwhile. So there is nothing to look at once more.
//   - Both do so in a causally consistent session, since a primary that has just taken over may not know yet that a
//     majority has what its predecessor has shown.
//
// A batch for closed hours marks them before it is inserted, too, as open: such a mark is not removed, so that what is seen
// of an insert that is under way is not missing in the next answer. Where readings are removed or
// changed by hand, ingest-writer rollups rebuild computes all once more; collections that are dropped are noticed. A
// version before rollups marks nothing: after it has inserted, beside this one or instead of it, the same command helps.
//
// A day of a device that cannot be rolled up, since it has too many metrics, keeps its hours marked and is tried again after
// an hour: its charts are made of its readings, and the other devices go on.
//
// # Retention
//
// The server removes readings by a TTL index, three hours later than they are taken: until then marked hours can be
// computed. It begins when all is rolled up and what is marked is computed. The progress keeps the horizon, by the server's clock, which
// only moves forward and which all inserts heed, with a retention or without: hours before it are never computed again,
// whatever is left of their readings, and their days stay. Who computes looks at it behind the readings.
//
// # What is in memory
//
//	a scan                            a batch of 1,000 documents, or 16 MiB of them; of up to 16 devices parts of it each
//	samples and buckets               65,536 of them, and the last bucket of each series
//	days with marked hours            100 of them, encoded, and a batch of documents
//	a computation                     a batch of documents, and the encoded days of 100 devices, of 8 MiB each at most
//	days that were set aside          a time for each
//	marks                             2,000 while they are worked on; a reader has those of the hours that it is asked for
package mongo
