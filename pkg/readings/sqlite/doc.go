// Package sqlite keeps readings in SQLite files: for one machine, and for tests. Writers take turns, one transaction per
// batch and file; readers go on beside them.
//
// A batch is on the disk when InsertReadings returns. While the disk is full or a file cannot be written calls fail and
// may be repeated.
//
// # Files
//
// Each month of UTC has a file of its own, which is created by its first reading. Earlier versions had one file for all:
// it owns the times up to its last reading, and the months what is behind that. So each time has one owner, and a change
// one transaction in one file. Only a reading that has to move into the next month is in two; there the later file is
// written first.
//
// A reading is a row until its hour is sealed: then it is in a block, with the others of its device and hour, and in what
// they come to in that day. One that is changed later is a row again, and its block is written without it. Rows and blocks of one snapshot have no reading in common, and together they are all there are.
//
// # Damage
//
// Every row has a checksum. One that is not as it was written is never shown: it is left out, logged once, and
// replaced when its reading comes again. So is one that the file's tree leads to from the place of another one: what
// is found is in order, and nothing twice. SQLite itself reports a damaged page as an error of whatever reads it.
// A count, and a look-up of a row, do not notice an entry that leads to a wrong row. What a damaged block comes to stays in the
// rollups, until as many readings of its time have come again and are sealed.
//
// # What is in memory
//
//	the time of each row       8 bytes (and up to as many to grow); from 2 million on they are sealed before their time
//	a seal                     1,000,000 rows, or 64 MiB of them, and a quarter as much to grow; of one device 16,384 decoded
//	                           ones, and those of two blocks; 16 MiB of blocks and rollups that are to be written
//	a turn of inserts          a decoded block, and what it is written anew of, of each of 12 files
//	a scan of all devices      the blocks that begin before the reading it is at, and end behind it
//	the count of each device   some 50 bytes
//	open files                 16, and those in use, with the page caches of up to six connections each, and of four more while
//	                           they are used, 2 MiB at most
package sqlite
