// Package credentials knows which devices, gateways and viewers get in, and for which devices they speak. It reads that from
// the compacted topic of credentials, keeps it in memory and follows the topic, so that a listener asks nobody when somebody
// connects: devices get in while databases and query-api are away, and after a restart as soon as the topic is read.
//
// The topic is whole when the record of the site is on it: who fills it writes that one last. Until then a Table is not
// ready. When a topic is made again, or has lost its end, a Table reads it anew aside, and what it knew holds until the new
// one is read and whole. So nobody who is valid is cut in between, and nobody who was revoked gets in.
//
// Kafka's being away changes nothing of what is known; changes come when it is back.
//
// # What is in memory
//
//	all credentials          40 MiB: 200,000 of one device each; 100,000 take 18 MB    TestMemory, TestBound
//	while it is read anew    indexes of both, once more the half of that at most
//	records that are read    500, or 4 MiB
//
// Beyond the bound the credentials that come last are not taken, which Check and the log say.
package credentials
